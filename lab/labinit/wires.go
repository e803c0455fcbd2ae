package labinit

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
	"github.com/nsnet/nsnet/veth"
)

// plug makes all cables inside the lab and returns the fabric's ports.
func (l *labInit) plug() ([]rtnl.Want, error) {
	byName := make(map[string]*node, len(l.nodes))
	for _, n := range l.nodes {
		byName[n.name] = n
	}
	bridges := make(map[string]int, len(l.spec.Lab.Bridges))
	for i := range l.spec.Lab.Bridges {
		bridges[l.spec.Lab.Bridges[i].Name] = i
	}
	ports := portNames(&l.spec.Lab)
	indexes := Indexes(&l.spec.Lab)
	var reqs []rtnl.Request
	var want []rtnl.Want
	for i := range l.spec.Lab.Links {
		k := &l.spec.Lab.Links[i]
		a := byName[k.A.Node]
		end := a.wire(k.A, indexes[i][0], k.B.Bridge == "")
		label := "create link " + linkName(k)
		var first veth.End
		if k.B.Bridge == "" {
			first = byName[k.B.Node].wire(k.B, indexes[i][1], true)
		} else {
			b := &l.spec.Lab.Bridges[bridges[k.B.Bridge]]
			if b.External {
				continue // up makes it, in the host's network namespace
			}
			first = veth.End{Name: ports[i], Index: firstPort + len(l.spec.Lab.Bridges) + i, MTU: end.MTU, Master: firstBridge + bridges[k.B.Bridge], Up: true}
			want = append(want, rtnl.Want{Name: ports[i], Forward: !b.STP})
		}
		r, err := veth.Create(first, end, label)
		if err != nil {
			return nil, &buildError{op: "create link", object: linkName(k), err: err}
		}
		reqs = append(reqs, r)
	}
	const chunk = 200
	for done := 0; done < len(reqs); done += chunk {
		part := reqs[done:min(done+chunk, len(reqs))]
		if err := l.fabric.Do(part...); err != nil {
			return nil, &buildError{op: "wire the lab", err: err}
		}
		_ = l.send(proto.Progress, proto.ProgressReport{Name: "create links", Done: done + len(part), Total: len(reqs)})
	}
	for i := range l.spec.Lab.Bridges {
		if b := &l.spec.Lab.Bridges[i]; !b.External && len(b.Addresses) > 0 {
			want = append(want, rtnl.Want{Name: LegPort(i), Forward: !b.STP})
		}
	}
	return want, nil
}

// LegPort is the fabric's end of the host's leg of bridge i. No bridge or port has its name:
// those of a file begin with a letter or digit.
func LegPort(i int) string { return fmt.Sprintf("_host%d", i) }

// Indexes gives the interface indexes of each link's ends in their nodes: counted from
// FirstInterface on, but never the same at both ends. An interface whose index is its
// peer's looks to the kernel like one without a peer, whose carrier it then reports up to
// a second late (linkwatch_urgent_event in net/core/link_watch.c).
func Indexes(l *topology.Lab) [][2]int {
	next := make(map[string]int, len(l.Nodes))
	take := func(node string, not int) int {
		i := max(next[node], FirstInterface)
		if i == not {
			i++
		}
		next[node] = i + 1
		return i
	}
	external := map[string]bool{}
	for i := range l.Bridges {
		external[l.Bridges[i].Name] = l.Bridges[i].External
	}
	out := make([][2]int, len(l.Links))
	for i := range l.Links {
		k := &l.Links[i]
		out[i][0] = take(k.A.Node, 0)
		if external[k.B.Bridge] {
			out[i][0] += FarIndex
		}
		if k.B.Node != "" {
			out[i][1] = take(k.B.Node, out[i][0])
		}
	}
	return out
}

// wire notes an interface of n and returns its end.
func (n *node) wire(e topology.Endpoint, index int, pair bool) veth.End {
	n.wires = append(n.wires, wireEnd{e, index, pair})
	return veth.End{Name: e.Interface, Index: index, MAC: e.MAC, MTU: e.MTU, Netns: n.proc.Netns}
}

// portNames gives each link's port in the fabric a name: NODE.INTERFACE where that fits
// and no bridge has it, so that a capture in the fabric is easy to aim.
func portNames(l *topology.Lab) []string {
	names := make([]string, len(l.Links))
	taken := make(map[string]bool, len(names))
	for i := range l.Bridges {
		taken[l.Bridges[i].Name] = true
	}
	for i := range l.Links {
		e := &l.Links[i].A
		name := e.Node + "." + e.Interface
		if len(name) > 15 || taken[name] {
			name = fmt.Sprintf("_port%d", i) // see LegPort
		}
		names[i], taken[name] = name, true
	}
	return names
}

func linkName(k *topology.Link) string {
	other := k.B.Bridge
	if other == "" {
		other = k.B.Node + ":" + k.B.Interface
	}
	return k.A.Node + ":" + k.A.Interface + " -- " + other
}

// configureNodes gives all nodes addresses, links and routes, on all processors.
func (l *labInit) configureNodes() error {
	work := make(chan *node)
	errs := make(chan error, len(l.nodes))
	var wg sync.WaitGroup
	for range 2 * runtime.NumCPU() {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := range work {
				if err := l.configure(n); err != nil {
					errs <- err
				}
			}
		}()
	}
	for _, n := range l.nodes {
		work <- n
	}
	close(work)
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// configure gives one node its addresses, brings its links up, and adds its routes.
func (l *labInit) configure(n *node) error {
	tn := &l.spec.Lab.Nodes[n.index]
	c, err := rtnl.Dial(n.proc.Netns)
	if err != nil {
		return &buildError{op: "enter the network namespace", node: n.name, err: err}
	}
	defer c.Close()
	index := map[string]int{"lo": 1}
	reqs := []rtnl.Request{rtnl.Up("lo", "bring up lo")}
	for _, w := range n.wires {
		e := &w.end
		index[e.Interface] = w.index
		for _, a := range e.Addresses {
			reqs = append(reqs, rtnl.Address(w.index, a, fmt.Sprintf("add address %s to %s", a, e.Interface)))
		}
		if ll, ok := linkLocal(e.MAC); ok && l.hasIPv6(tn, e) {
			reqs = append(reqs, rtnl.Address(w.index, ll, "add the link-local address of "+e.Interface))
		}
		reqs = append(reqs, rtnl.Up(e.Interface, "bring up "+e.Interface))
	}
	for _, w := range n.wires {
		for _, p := range w.end.Peers {
			reqs = append(reqs, rtnl.Route(p, netip.Addr{}, w.index, 0, fmt.Sprintf("add route %s dev %s", p, w.end.Interface)))
		}
	}
	for _, r := range tn.Routes {
		reqs = append(reqs, rtnl.Route(r.To, r.Via, index[r.Dev], r.Metric, "add route "+r.To.String()))
	}
	if err := c.Do(reqs...); err != nil {
		return &buildError{op: "configure", node: n.name, err: err}
	}
	post := container.PostProgram(tn)
	if len(post) == 0 {
		return nil
	}
	if err := n.proc.Run(wire.Post, post); err != nil {
		return &buildError{op: "configure", node: n.name, err: err}
	}
	return nil
}

// hasIPv6 tells whether an interface can have a link-local address: it has one then, as
// routing protocols and neighbour discovery expect.
func (l *labInit) hasIPv6(n *topology.Node, e *topology.Endpoint) bool {
	const leastMTU = 1280 // RFC 8200 section 5; below it the kernel has no IPv6 on an interface
	for _, k := range []string{"all", "default", e.Interface} {
		if v, set := n.Sysctls["net.ipv6.conf."+k+".disable_ipv6"]; set && v != "0" {
			return false
		}
	}
	return l.ipv6 && e.MTU >= leastMTU
}

// linkLocal is the address that a MAC gives. RFC 4291 appendix A.
func linkLocal(mac string) (netip.Prefix, bool) {
	m, err := net.ParseMAC(mac)
	if err != nil || len(m) != 6 {
		return netip.Prefix{}, false
	}
	a := netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
	return netip.PrefixFrom(a, 64), true
}

// bridgesUp brings the bridges up when all their ports have carriers, so that each decides
// once about all of its ports, and waits until those forward.
func (l *labInit) bridgesUp(fabric *os.File, ports []rtnl.Want) error {
	c, err := rtnl.Dial(fabric, unix.RTNLGRP_LINK)
	if err != nil {
		return &buildError{op: "watch the fabric", err: err}
	}
	defer c.Close()
	carriers := slices.Clone(ports)
	for i := range carriers {
		carriers[i].Forward = false
	}
	var up []rtnl.Request
	for i := range l.spec.Lab.Bridges {
		if b := &l.spec.Lab.Bridges[i]; !b.External {
			up = append(up, rtnl.Up(b.Name, "bring up bridge "+b.Name))
		}
	}
	if err := c.Ready(carriers, readyTimeout); err != nil {
		return &buildError{op: "wait for the fabric", err: err}
	}
	if err := c.Do(up...); err != nil {
		return &buildError{op: "bring up bridges", err: err}
	}
	if err := c.Ready(ports, readyTimeout); err != nil {
		return &buildError{op: "wait for the fabric", err: err}
	}
	return nil
}

// ready waits until every port forwards and every cable between nodes has a carrier.
func (l *labInit) ready(fabric *os.File, ports []rtnl.Want) error {
	if err := l.bridgesUp(fabric, ports); err != nil {
		return err
	}
	for _, n := range l.nodes {
		var want []rtnl.Want
		for _, w := range n.wires {
			want = append(want, rtnl.Want{Name: w.end.Interface})
		}
		if !slices.ContainsFunc(n.wires, func(w wireEnd) bool { return w.pair }) {
			continue // a bridge port comes up before its node's end, which is ready at once
		}
		c, err := rtnl.Dial(n.proc.Netns, unix.RTNLGRP_LINK)
		if err != nil {
			return &buildError{op: "watch", node: n.name, err: err}
		}
		err = c.Ready(want, readyTimeout)
		c.Close()
		if err != nil {
			return &buildError{op: "wait for the links", node: n.name, err: err}
		}
	}
	return nil
}
