package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/dns"
	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab/labinit"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
	"github.com/nsnet/nsnet/veth"
)

// plan decides all that the lab needs of the host, under the lock that all labs share, and
// writes it down.
func (b *builder) plan(ctx context.Context) error {
	host, err := lockHost(ctx)
	if err != nil {
		return &Error{Op: "lock the host's record", Err: err}
	}
	defer host.Close()
	r := &b.rec
	r.UserNS = !slices.ContainsFunc(b.lab.Nodes, func(n topology.Node) bool { return n.Privileged })
	r.IDs = uint32(len(b.lab.Nodes)+1) * container.IDs
	if r.Base, err = allocateIDs(r.Name, r.IDs); err != nil {
		return &Error{Op: "allocate user ids", Err: err}
	}
	r.Limits = b.cgroups != nil
	var legs []string
	var v4, v6 bool
	for i := range b.lab.Bridges {
		t := &b.lab.Bridges[i]
		if t.External || len(t.Addresses) == 0 {
			continue
		}
		legs = append(legs, bridge.LegName(r.Name, t.Name))
		if !t.NAT {
			continue
		}
		r.NAT = true
		for _, a := range t.Addresses {
			v4, v6 = v4 || a.Addr().Is4(), v6 || a.Addr().Is6()
		}
	}
	r.Links = slices.Clone(legs)
	for i := range b.lab.Links {
		if k := &b.lab.Links[i]; b.isExternal(k.B.Bridge) {
			r.Links = append(r.Links, bridge.PortName(r.Name, k.A.Node, k.A.Interface))
		}
	}
	if r.NAT {
		if r.Sysctls, err = bridge.PlanForwarding(v4, v6); err != nil {
			return &Error{Op: "look at the host's forwarding", Err: err}
		}
		if r.Rules, b.notes, err = bridge.PlanAccept(r.Name, legs); err != nil {
			return &Error{Op: "look at the host's firewall", Err: err}
		}
	}
	r.Netns = []string{r.Name}
	for i := range b.lab.Nodes {
		n := &b.lab.Nodes[i]
		r.Netns = append(r.Netns, r.Name+"."+n.Name)
		if n.DNS != nil {
			r.DNS = append(r.DNS, n.Name)
		}
	}
	for _, n := range r.Netns {
		if _, err := os.Lstat(filepath.Join(NetnsDir, n)); err == nil {
			return &Error{Object: filepath.Join(NetnsDir, n), Err: fmt.Errorf("%w: the name is taken by a network namespace that is not nsnet's", ErrConflict), Remedy: "give the lab another name with --name"}
		}
	}
	if err := b.writeFiles(); err != nil {
		return err
	}
	if err := bridge.ApplySysctls(r.Sysctls); err != nil {
		return &Error{Op: "turn on the host's forwarding", Err: err}
	}
	return nil
}

func (b *builder) isExternal(name string) bool {
	return slices.ContainsFunc(b.lab.Bridges, func(t topology.Bridge) bool { return t.External && t.Name == name })
}

// checkExternal finds the host's bridge that a link goes to.
func (b *builder) checkExternal(k *topology.Link) error {
	if !b.isExternal(k.B.Bridge) {
		return nil
	}
	if _, err := os.Stat(filepath.Join("/sys/class/net", k.B.Bridge, "bridge")); err != nil {
		return &Error{Object: k.B.Bridge, Err: fmt.Errorf("the file says external: true, but this host has no bridge of that name"), Remedy: "create it, or leave external out and the lab makes one of its own"}
	}
	flags, err := os.ReadFile(filepath.Join("/sys/class/net", k.B.Bridge, "flags"))
	if err != nil {
		return &Error{Object: k.B.Bridge, Err: err}
	}
	if f, err := strconv.ParseUint(strings.TrimSpace(string(flags)), 0, 32); err != nil || f&unix.IFF_UP == 0 {
		return &Error{Object: k.B.Bridge, Err: errors.New("this bridge of the host is down"), Remedy: "bring it up with ip link set " + k.B.Bridge + " up"}
	}
	return nil
}

// mark begins the ifalias of every interface of a lab in the host's network namespace. What
// does not bear it is not touched.
func mark(lab string) string { return "nsnet:" + lab + ":" }

// legs plugs the bridges that have a host address into the host, and sets up what
// translates and forwards their packets.
func (b *builder) legs() error {
	var nat []bridge.NATLeg
	for i := range b.lab.Bridges {
		t := &b.lab.Bridges[i]
		if t.External || len(t.Addresses) == 0 {
			continue
		}
		leg := bridge.NATLeg{Interface: bridge.LegName(b.lab.Name, t.Name)}
		if t.NAT {
			for _, a := range t.Addresses {
				leg.Subnets = append(leg.Subnets, a.Masked())
			}
		}
		nat = append(nat, leg)
	}
	if len(nat) == 0 {
		return nil
	}
	if err := b.plugHost(); err != nil {
		return err
	}
	if err := b.addressHost(); err != nil {
		return err
	}
	if !b.rec.NAT {
		return nil
	}
	table, err := bridge.NewTable(bridge.NATConfig{Lab: b.lab.Name, Legs: nat})
	if err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			err = fmt.Errorf("%w: %w", ErrUnsupported, err)
		}
		return &Error{Op: "set up address translation", Err: err}
	}
	b.nat = table.File()
	if err := bridge.Insert(b.rec.Rules); err != nil {
		return &Error{Op: "add rules to the host's firewall", Err: err}
	}
	return nil
}

// plugHost makes the legs: the first end is the bridge's port in the fabric, the peer the
// host's interface. Of a peer's index the kernel takes notice only where the first end has
// one, too (veth_newlink in drivers/net/veth.c), and the host numbers its own.
func (b *builder) plugHost() error {
	host, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return &Error{Op: "open the host's network namespace", Err: err}
	}
	defer host.Close()
	c, err := rtnl.Dial(b.fabric)
	if err != nil {
		return &Error{Op: "enter the fabric", Err: err}
	}
	defer c.Close()
	bridges, err := indexes(c)
	if err != nil {
		return &Error{Op: "list the fabric's interfaces", Err: err}
	}
	var reqs []rtnl.Request
	for i := range b.lab.Bridges {
		t := &b.lab.Bridges[i]
		if t.External || len(t.Addresses) == 0 {
			continue
		}
		name := bridge.LegName(b.lab.Name, t.Name)
		r, err := veth.Create(
			veth.End{Name: labinit.LegPort(i), Index: labinit.FarIndex + i, MTU: t.MTU, Master: bridges[t.Name], Up: true},
			veth.End{Name: name, MAC: t.HostMAC, MTU: t.MTU, Netns: host},
			"create the host's leg "+name)
		if err != nil {
			return &Error{Op: "create the host's leg of bridge", Object: t.Name, Err: err}
		}
		reqs = append(reqs, r)
	}
	if err := c.Do(reqs...); err != nil {
		e := &Error{Op: "create the host's legs", Err: err}
		if errors.Is(err, unix.EEXIST) {
			e.Err, e.Remedy = fmt.Errorf("%w: %w", ErrConflict, err), "remove the interface of that name, which is not this lab's"
		}
		return e
	}
	return nil
}

// addressHost marks the legs' host ends, gives them their addresses and brings them up.
func (b *builder) addressHost() error {
	c, err := rtnl.Dial(nil)
	if err != nil {
		return &Error{Op: "address the host's legs", Err: err}
	}
	defer c.Close()
	index, err := indexes(c)
	if err != nil {
		return &Error{Op: "list the host's interfaces", Err: err}
	}
	var reqs []rtnl.Request
	for i := range b.lab.Bridges {
		t := &b.lab.Bridges[i]
		if t.External || len(t.Addresses) == 0 {
			continue
		}
		name := bridge.LegName(b.lab.Name, t.Name)
		if err := quietLeg(name); err != nil {
			return &Error{Op: "set up the host's leg of bridge", Object: t.Name, Err: err}
		}
		reqs = append(reqs, rtnl.Alias(name, mark(b.lab.Name)+t.Name, "mark the host's leg "+name))
		for _, a := range t.Addresses {
			reqs = append(reqs, rtnl.Address(index[name], a, fmt.Sprintf("add address %s to the host's leg of bridge %s", a, t.Name)))
		}
		reqs = append(reqs, rtnl.Up(name, "bring up the host's leg of bridge "+t.Name))
	}
	if err := c.Do(reqs...); err != nil {
		return &Error{Op: "address the host's legs", Err: err}
	}
	return nil
}

// quietLeg keeps the host from taking anything that a node says for its own
// configuration: router advertisements and redirects above all (CVE-2020-13401).
func quietLeg(name string) error {
	for _, kv := range [][2]string{
		{"ipv6/conf/" + name + "/accept_ra", "0"},
		{"ipv6/conf/" + name + "/accept_redirects", "0"},
		{"ipv6/conf/" + name + "/accept_dad", "0"},
		{"ipv4/conf/" + name + "/accept_redirects", "0"},
		{"ipv4/conf/" + name + "/rp_filter", "0"},
	} {
		path := "/proc/sys/net/" + kv[0]
		if err := os.WriteFile(path, []byte(kv[1]), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func indexes(c *rtnl.Conn) (map[string]int, error) {
	links, err := c.Links()
	if err != nil {
		return nil, err
	}
	m := make(map[string]int, len(links))
	for _, l := range links {
		m[l.Name] = l.Index
	}
	return m, nil
}

// external plugs nodes into the host's own bridges. The lab init addresses their ends.
func (b *builder) external() error {
	if !slices.ContainsFunc(b.lab.Bridges, func(t topology.Bridge) bool { return t.External }) {
		return nil
	}
	host, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return &Error{Op: "open the host's network namespace", Err: err}
	}
	defer host.Close()
	c, err := rtnl.Dial(nil)
	if err != nil {
		return &Error{Op: "plug into the host's bridges", Err: err}
	}
	defer c.Close()
	bridges, err := indexes(c)
	if err != nil {
		return &Error{Op: "list the host's interfaces", Err: err}
	}
	var plug []rtnl.Request
	at := labinit.Indexes(b.lab)
	for i := range b.lab.Links {
		k := &b.lab.Links[i]
		if !b.isExternal(k.B.Bridge) {
			continue
		}
		port := bridge.PortName(b.lab.Name, k.A.Node, k.A.Interface)
		if err := b.plugNode(&k.A, at[i][0], port, host); err != nil {
			return &Error{Node: k.A.Node, Op: "plug " + k.A.Interface + " into the host's bridge", Object: k.B.Bridge, Err: err}
		}
		label := "plug " + k.A.Node + ":" + k.A.Interface + " into the host's bridge " + k.B.Bridge
		plug = append(plug, rtnl.Alias(port, mark(b.lab.Name)+k.A.Node+":"+k.A.Interface, label), rtnl.SetMaster(port, bridges[k.B.Bridge], label))
	}
	if err := c.Do(plug...); err != nil {
		return &Error{Op: "plug into the host's bridges", Err: err}
	}
	return nil
}

// plugNode makes the pair between a node's interface, with the index that the lab init
// knows it by, and a port in the host's network namespace.
func (b *builder) plugNode(e *topology.Endpoint, index int, port string, host *os.File) error {
	i := slices.IndexFunc(b.lab.Nodes, func(n topology.Node) bool { return n.Name == e.Node })
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", b.pids[i]))
	if err != nil {
		return err
	}
	defer ns.Close()
	c, err := rtnl.Dial(ns)
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := veth.Create(
		veth.End{Name: e.Interface, Index: index, MAC: e.MAC, MTU: e.MTU},
		veth.End{Name: port, MTU: e.MTU, Netns: host},
		"create link "+port)
	if err != nil {
		return err
	}
	return c.Do(r)
}

// hostReady waits until the host's ends of the lab carry packets.
func (b *builder) hostReady() error {
	if len(b.rec.Links) == 0 {
		return nil
	}
	c, err := rtnl.Dial(nil, unix.RTNLGRP_LINK)
	if err != nil {
		return &Error{Op: "watch the host's interfaces", Err: err}
	}
	defer c.Close()
	var want []rtnl.Want
	for i := range b.lab.Bridges {
		if t := &b.lab.Bridges[i]; !t.External && len(t.Addresses) > 0 {
			want = append(want, rtnl.Want{Name: bridge.LegName(b.lab.Name, t.Name)})
		}
	}
	for i := range b.lab.Links {
		if k := &b.lab.Links[i]; b.isExternal(k.B.Bridge) {
			// With spanning tree a port forwards half a minute later, and that is meant.
			stp, _ := os.ReadFile(filepath.Join("/sys/class/net", k.B.Bridge, "bridge/stp_state"))
			want = append(want, rtnl.Want{Name: bridge.PortName(b.lab.Name, k.A.Node, k.A.Interface), Forward: strings.TrimSpace(string(stp)) == "0"})
		}
	}
	if err := c.Ready(want, 30*time.Second); err != nil {
		return &Error{Op: "wait for the host's interfaces", Err: err}
	}
	return nil
}

// names names the network namespaces for ip netns exec. A name points to a descriptor of the
// lab init: when that is gone the name leads nowhere, or, should its pid be used again, to a
// descriptor that setns(2) refuses, but never into another process's network namespace.
func (b *builder) names(r *proto.BuiltReport) error {
	if err := os.MkdirAll(NetnsDir, 0o755); err != nil {
		return &Error{Op: "create", Object: NetnsDir, Err: err}
	}
	init := fmt.Sprintf("/proc/%d/", b.rec.InitPID)
	for i, name := range b.rec.Netns {
		target := init + "ns/net"
		if i > 0 {
			target = fmt.Sprintf("%sfd/%d", init, r.NetnsFDs[i-1])
		}
		if err := os.Symlink(target, filepath.Join(NetnsDir, name)); err != nil {
			return &Error{Op: "name a network namespace", Err: err}
		}
	}
	for i := range b.lab.Nodes {
		n := &b.lab.Nodes[i]
		if n.DNS == nil {
			continue
		}
		if _, err := dns.WriteNetns(EtcNetns, b.lab.Name, n.Name, *n.DNS); err != nil {
			e := &Error{Node: n.Name, Op: "write resolv.conf for ip netns exec", Err: err}
			if errors.Is(err, dns.ErrForeign) {
				e.Err, e.Remedy = fmt.Errorf("%w: %w", ErrConflict, err), "remove the file, or give the lab another name with --name"
			}
			return e
		}
	}
	return nil
}
