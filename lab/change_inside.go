package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/dns"
	"github.com/nsnet/nsnet/topology"
)

// sysctls sets those that the file sets, and has others at their defaults again.
func (c *change) sysctls(context.Context) error {
	l := c.possible()
	// An interface that was made anew has its defaults.
	now, missing, err := c.seen.readSysctls(l, false)
	if err != nil {
		return err
	}
	if missing != nil {
		return missing
	}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		all, differ := map[string]string{}, false
		for k, v := range n.Sysctls {
			switch is, read := now[n.Name][k]; {
			case read:
				all[k] = v
				differ = differ || is != strings.Join(strings.Fields(v), " ")
			case ofNetwork(k) && c.seen.nodes[n.Name] != nil && c.wasOther(n.Name, k, v): // it is for writing alone, as net.ipv4.route.flush
				all[k], differ = v, true
			}
		}
		var defaults map[string]string
		if keys := c.todo.unset[n.Name]; len(keys) > 0 {
			var err error
			if defaults, err = defaultSysctls(keys); err != nil {
				return err
			}
		}
		if !differ && len(defaults) == 0 {
			continue
		}
		// One of them may change others, which are as they should be now.
		c.account.begun("~ sysctls " + n.Name)
		if err := c.seen.setSysctls(n.Name, all, defaults); err != nil {
			return err
		}
		c.account.made("~ sysctls " + n.Name)
	}
	c.account.made("~ sysctls")
	return nil
}

// wasOther reports whether a file before has set a sysctl otherwise, or not at all.
func (c *change) wasOther(node, key, value string) bool {
	return slices.ContainsFunc(c.seen.had, func(l *topology.Lab) bool {
		return slices.ContainsFunc(l.Nodes, func(n topology.Node) bool { return n.Name == node && n.Sysctls[key] != value })
	})
}

// writeInside writes what nodes that stay have in /etc/hosts and resolv.conf.
func (c *change) writeInside(context.Context) error {
	hosts, lines := dns.Hosts(c.lab), dns.Own(c.lab)
	if c.todo.hosts {
		c.account.begun("~ hosts " + c.lab.Name)
		for _, fd := range c.seen.state.Hosts {
			if err := rewrite(fmt.Sprintf("/proc/%d/fd/%d", c.rec.InitPID, fd), hosts); err != nil {
				return &Error{Op: "write the nodes' /etc/hosts", Err: err}
			}
		}
	}
	fresh := byName(c.nodes)
	for i := range c.lab.Nodes {
		n := &c.lab.Nodes[i]
		s := c.seen.nodes[n.Name]
		if s == nil || fresh[n.Name] != nil {
			continue
		}
		if own := slices.Contains(c.todo.files, n.Name); own || c.todo.hosts && s.Hosts {
			c.account.begun("~ hosts " + n.Name)
			if err := c.leftAlone(n.Name, hostsFile, c.rewriteIn(s, hostsFile, dns.AppendHosts(hosts, lines[n.Name]), c.firstID(n, s))); err != nil {
				return &Error{Node: n.Name, Op: "write its /etc/hosts", Err: err}
			}
			if n.Name != c.lab.Name { // whose lines may be those of all
				c.account.made("~ hosts " + n.Name)
			}
		}
		if slices.Contains(c.todo.resolv, n.Name) {
			c.account.begun("~ dns " + n.Name)
			if err := c.leftAlone(n.Name, resolvConf, c.writeResolv(n, s)); err != nil {
				return &Error{Node: n.Name, Op: "write its resolv.conf", Err: err}
			}
			c.account.made("~ dns " + n.Name)
		}
	}
	c.account.made("~ hosts", "~ dns")
	return nil
}
