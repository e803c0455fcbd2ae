package wiring

import (
	"fmt"
	"net"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/topology"
)

// kernel is what steps make of network namespaces, as far as a plan relies on it.
type kernel struct {
	seen Seen
	macs int
	ids  map[Place]int // of network namespaces, the same in all
}

func newKernel(places ...Place) *kernel {
	k := &kernel{seen: Seen{}, ids: map[Place]int{}}
	for _, p := range places {
		k.add(p)
	}
	return k
}

// add makes a new network namespace.
func (k *kernel) add(p Place) {
	if _, known := k.ids[p]; !known {
		k.ids[p] = len(k.ids)
	}
	k.seen[p] = &Net{Links: []rtnl.Link{{Index: 1, Name: "lo"}}, IDs: k.ids}
}

func (k *kernel) link(p Place, name string) *rtnl.Link {
	n := k.seen[p]
	for i := range n.Links {
		if n.Links[i].Name == name {
			return &n.Links[i]
		}
	}
	return nil
}

// delete removes an interface with all that hangs on it, and its other end.
func (k *kernel) delete(p Place, index int) {
	n := k.seen[p]
	at := slices.IndexFunc(n.Links, func(l rtnl.Link) bool { return l.Index == index })
	if at < 0 {
		return // it went with its other end
	}
	l := n.Links[at]
	n.Links = slices.Delete(n.Links, at, at+1)
	n.Addresses = slices.DeleteFunc(n.Addresses, func(a rtnl.InterfaceAddress) bool { return a.Index == index })
	n.Routes = slices.DeleteFunc(n.Routes, func(r rtnl.TableRoute) bool { return r.Index == index })
	for i := range n.Links {
		if n.Links[i].Master == index {
			n.Links[i].Master = 0
		}
	}
	if l.Kind != "veth" {
		return
	}
	if l.LowerNS < 0 {
		k.delete(p, l.Lower)
	}
	for other := range k.seen {
		if l.LowerNS == k.ids[other] {
			k.delete(other, l.Lower)
		}
	}
}

func (k *kernel) free(p Place) int {
	i := 2
	for slices.ContainsFunc(k.seen[p].Links, func(l rtnl.Link) bool { return l.Index == i }) {
		i++
	}
	return i
}

// do carries out a step, as the Applier and the kernel would.
func (k *kernel) do(s Step) error {
	before := k.ports()
	err := k.carryOut(s)
	for i := range k.seen[Fabric].Links {
		b := &k.seen[Fabric].Links[i]
		if least := k.ports()[b.Index]; b.Kind == "bridge" && least != before[b.Index] {
			if b.MTU = least; least == 0 {
				b.MTU = 1500
			}
		}
	}
	return err
}

// ports are the least MTUs of bridges' ports, which bridges follow when they change, 0 where there is none.
func (k *kernel) ports() map[int]int {
	least := map[int]int{}
	for _, l := range k.seen[Fabric].Links {
		if l.Master != 0 && (least[l.Master] == 0 || l.MTU < least[l.Master]) {
			least[l.Master] = l.MTU
		}
	}
	return least
}

func (k *kernel) carryOut(s Step) error {
	if s.Verb == AddCable {
		return k.cable(s)
	}
	n := k.seen[s.Place]
	if n == nil {
		return fmt.Errorf("no place %q for %s", s.Place, s.label())
	}
	if s.Place == Host && s.Index == 0 {
		if l := k.link(Host, s.Link); l != nil {
			s.Index = l.Index
		}
	}
	var l *rtnl.Link
	for i := range n.Links {
		if n.Links[i].Index == s.Index {
			l = &n.Links[i]
		}
	}
	switch s.Verb {
	case DelLink:
		k.delete(s.Place, s.Index)
		return nil
	case AddBridge:
		if l != nil || k.link(s.Place, s.Link) != nil {
			return fmt.Errorf("%s: exists", s.label())
		}
		mac, _ := net.ParseMAC(s.Bridge.MAC)
		n.Links = append(n.Links, rtnl.Link{Index: s.Index, Name: s.Link, Kind: "bridge", MAC: mac, MTU: s.Bridge.MTU, Bridge: rtnl.BridgeInfo{STP: s.Bridge.STP}})
		return nil
	case AddRoute:
		return k.route(n, s)
	case DelRoute:
		n.Routes = slices.DeleteFunc(n.Routes, func(r rtnl.TableRoute) bool {
			return r.To == s.Route.To && r.Via == s.Route.Via && r.Metric == s.Route.Metric
		})
		return nil
	}
	if l == nil {
		return fmt.Errorf("%s in %q: no interface with index %d", s.label(), s.Place, s.Index)
	}
	switch s.Verb {
	case SetBridge:
		l.MAC, _ = net.ParseMAC(s.Bridge.MAC)
		l.MTU, l.Bridge.STP = s.Bridge.MTU, s.Bridge.STP
	case SetLink:
		if s.Set.MAC != "" {
			l.MAC, _ = net.ParseMAC(s.Set.MAC)
		}
		if s.Set.MTU > 0 {
			l.MTU = s.Set.MTU
		}
		if s.Set.Alias != "" {
			l.Alias = s.Set.Alias
		}
		if s.Set.Master != nil {
			l.Master = *s.Set.Master
		}
	case NameLink:
		for i := range n.Links {
			if slices.Contains(n.Links[i].AltNames, s.AltName) || n.Links[i].Name == s.AltName {
				return fmt.Errorf("%s: exists", s.label())
			}
		}
		l.AltNames = append(l.AltNames, s.AltName)
	case SetSysctls: // an observation does not tell of them
	case UpLink, UpBridge:
		l.Flags |= unix.IFF_UP
		if l.Name != "lo" || slices.ContainsFunc(n.Addresses, func(a rtnl.InterfaceAddress) bool { return a.Index == l.Index }) {
			break
		}
		for _, a := range loopback(&topology.Node{}, true) {
			n.Addresses = append(n.Addresses, rtnl.InterfaceAddress{Index: l.Index, Prefix: a, Flags: unix.IFA_F_PERMANENT})
		}
	case AddAddress:
		if slices.ContainsFunc(n.Addresses, func(a rtnl.InterfaceAddress) bool { return a.Index == s.Index && a.Prefix == s.Address }) {
			return fmt.Errorf("%s: exists", s.label())
		}
		n.Addresses = append(n.Addresses, rtnl.InterfaceAddress{Index: s.Index, Prefix: s.Address, Flags: unix.IFA_F_PERMANENT})
		if !s.Address.IsSingleIP() && l.Name != "lo" { // lo's is local
			n.Routes = append(n.Routes, rtnl.TableRoute{To: s.Address.Masked(), Index: s.Index, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_KERNEL, Type: unix.RTN_UNICAST})
		}
	case DelAddress:
		n.Addresses = slices.DeleteFunc(n.Addresses, func(a rtnl.InterfaceAddress) bool { return a.Index == s.Index && a.Prefix == s.Address })
		// Its own route, and those by next hops of its subnet go, too.
		n.Routes = slices.DeleteFunc(n.Routes, func(r rtnl.TableRoute) bool { return r.To == s.Address.Masked() && r.Index == s.Index })
		n.Routes = slices.DeleteFunc(n.Routes, func(r rtnl.TableRoute) bool { return r.Via.IsValid() && s.Address.Masked().Contains(r.Via) })
	default:
		return fmt.Errorf("no verb %d", s.Verb)
	}
	return nil
}

func (k *kernel) route(n *Net, s Step) error {
	index := s.Index
	if index == 0 {
		for _, a := range n.Addresses {
			if a.Prefix.Masked().Contains(s.Route.Via) {
				index = a.Index
			}
		}
	}
	gateway := func(r rtnl.TableRoute) bool {
		return !r.Via.IsValid() && r.Index == index && r.To.Contains(s.Route.Via)
	}
	address := func(a rtnl.InterfaceAddress) bool { return a.Index == index && a.Prefix.Masked().Contains(s.Route.Via) }
	if index == 0 || s.Route.Via.IsValid() && !s.Route.OnLink && !slices.ContainsFunc(n.Addresses, address) && !slices.ContainsFunc(n.Routes, gateway) {
		return fmt.Errorf("%s: unreachable", s.label())
	}
	if slices.ContainsFunc(n.Routes, func(r rtnl.TableRoute) bool { return r.To == s.Route.To.Masked() && r.Metric == metric(&s.Route) }) {
		return fmt.Errorf("%s: exists", s.label())
	}
	n.Routes = append(n.Routes, rtnl.TableRoute{To: s.Route.To.Masked(), Via: s.Route.Via, Index: index, Metric: metric(&s.Route),
		Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC, Type: unix.RTN_UNICAST})
	return nil
}

func (k *kernel) cable(s Step) error {
	k.macs++
	a, b := s.Index, s.IndexB
	if s.Cable.B.Place == Host {
		b = k.free(Host)
	}
	for _, e := range []struct {
		end          *End
		index, other int
		far          Place
	}{{&s.Cable.A, a, b, s.Cable.B.Place}, {&s.Cable.B, b, a, s.Cable.A.Place}} {
		n := k.seen[e.end.Place]
		if n == nil {
			return fmt.Errorf("%s: no place %q", s.label(), e.end.Place)
		}
		if slices.ContainsFunc(n.Links, func(l rtnl.Link) bool { return l.Name == e.end.Name || l.Index == e.index }) {
			return fmt.Errorf("%s: %s with index %d exists in %q", s.label(), e.end.Name, e.index, e.end.Place)
		}
		mac, err := net.ParseMAC(e.end.MAC)
		if err != nil {
			mac = net.HardwareAddr{2, 0, 0, 0, byte(k.macs >> 8), byte(k.macs)}
		}
		there := k.ids[e.far]
		if e.far == e.end.Place {
			there = -1
		}
		l := rtnl.Link{Index: e.index, Name: e.end.Name, Kind: "veth", MAC: mac, MTU: e.end.MTU, Lower: e.other, LowerNS: there}
		if e.end.Place == Fabric {
			l.Master, l.Flags = s.Master, unix.IFF_UP
		}
		n.Links = append(n.Links, l)
	}
	return nil
}

// text is all that there is, without numbers that the kernel or the order of making decides on.
func (k *kernel) text() string {
	var out []string
	for p, n := range k.seen {
		name := map[int]string{}
		for _, l := range n.Links {
			name[l.Index] = l.Name
		}
		for _, l := range n.Links {
			mac := l.MAC.String()
			if p == Fabric && l.Kind == "veth" || p == Host {
				mac = ""
			}
			out = append(out, fmt.Sprintf("%q %s %s mtu %d mac %s master %q up %v alias %q stp %v", p, l.Name, l.Kind, l.MTU, mac, name[l.Master], l.Up(), l.Alias, l.Bridge.STP))
		}
		for _, a := range n.Addresses {
			out = append(out, fmt.Sprintf("%q %s has %s", p, name[a.Index], a.Prefix))
		}
		for _, r := range n.Routes {
			out = append(out, fmt.Sprintf("%q %s via %s dev %s metric %d", p, r.To, r.Via, name[r.Index], r.Metric))
		}
	}
	sort.Strings(out)
	return strings.Join(out, "\n")
}

// converge carries out plans until nothing is left to do, as up does, and tells how many it took.
func (k *kernel) converge(l *topology.Lab, had ...*topology.Lab) (int, error) {
	want, before := Of(l, true), []*Want{}
	for _, h := range had {
		before = append(before, Of(h, true))
	}
	n, err := k.follow(want, before)
	if lacks := k.lacks(l); err == nil && len(lacks) > 0 {
		err = fmt.Errorf("nothing left to do, but there is no %s", strings.Join(lacks, "; no "))
	}
	return n, err
}

func (k *kernel) follow(want *Want, had []*Want) (int, error) {
	for round := range 5 {
		changes, err := Plan(want, had, k.seen, nil)
		if err != nil {
			return round, err
		}
		steps := Steps(changes)
		if len(steps) == 0 {
			return round, nil
		}
		for _, s := range steps {
			if err := k.do(s); err != nil {
				return round, err
			}
		}
	}
	changes, err := Plan(want, had, k.seen, nil)
	return 5, fmt.Errorf("there is always something left: %+v, error %w", changes, err)
}

// lacks tells what of a lab is not there, straight from the lab.
func (k *kernel) lacks(l *topology.Lab) (lacks []string) {
	miss := func(format string, args ...any) { lacks = append(lacks, fmt.Sprintf(format, args...)) }
	external := map[string]bool{}
	for _, b := range l.Bridges {
		if external[b.Name] = b.External; b.External {
			continue
		}
		got := k.link(Fabric, b.Name)
		if got == nil || got.Kind != "bridge" || !got.Up() || got.MAC.String() != b.MAC || got.Bridge.STP != b.STP {
			miss("bridge %+v: %+v", b, got)
		}
		if len(b.Addresses) > 0 && !slices.ContainsFunc(k.seen[Host].Addresses, func(a rtnl.InterfaceAddress) bool { return a.Prefix == b.Addresses[0] }) {
			miss("the host's %s", b.Addresses[0])
		}
	}
	end := func(e topology.Endpoint) {
		got := k.link(Place(e.Node), e.Interface)
		if got == nil || got.Kind != "veth" || !got.Up() || got.MTU != e.MTU || got.MAC.String() != e.MAC {
			miss("%+v: %+v", e, got)
			return
		}
		for _, p := range e.Addresses {
			if !slices.ContainsFunc(k.seen[Place(e.Node)].Addresses, func(a rtnl.InterfaceAddress) bool { return a.Prefix == p && a.Index == got.Index }) {
				miss("%s of %s:%s", p, e.Node, e.Interface)
			}
		}
		for _, p := range e.Peers {
			if !slices.ContainsFunc(k.seen[Place(e.Node)].Routes, func(r rtnl.TableRoute) bool { return r.To == p && r.Index == got.Index }) {
				miss("route to %s of %s", p, e.Node)
			}
		}
	}
	for _, c := range Of(l, true).Cables {
		for _, w := range c.B.Routes {
			at := k.link(Host, c.B.Name)
			if at == nil || !slices.ContainsFunc(k.seen[Host].Routes, func(r rtnl.TableRoute) bool { return r.To == w.To && r.Via == w.Via && r.Index == at.Index }) {
				miss("the host's route %+v", w)
			}
		}
	}
	for _, c := range l.Links {
		end(c.A)
		switch {
		case c.B.Node != "":
			end(c.B)
			a, b := k.link(Place(c.A.Node), c.A.Interface), k.link(Place(c.B.Node), c.B.Interface)
			if a == nil || b == nil || a.Lower != b.Index || b.Lower != a.Index || a.LowerNS != b.LowerNS && (a.LowerNS != k.ids[Place(c.B.Node)] || b.LowerNS != k.ids[Place(c.A.Node)]) {
				miss("a cable from %+v to %+v: %+v, %+v", c.A, c.B, a, b)
			}
		case external[c.B.Bridge]:
			if !slices.ContainsFunc(k.seen[Host].Links, func(h rtnl.Link) bool {
				return h.Master == 7 && h.Up() && h.Alias == "nsnet:demo:"+c.A.Node+":"+c.A.Interface
			}) {
				miss("a port of docker0 for %s:%s", c.A.Node, c.A.Interface)
			}
		default:
			mine, bridge := k.link(Place(c.A.Node), c.A.Interface), k.link(Fabric, c.B.Bridge)
			if mine == nil || bridge == nil || !slices.ContainsFunc(k.seen[Fabric].Links, func(p rtnl.Link) bool {
				return p.Master == bridge.Index && p.Up() && p.LowerNS == k.ids[Place(c.A.Node)] && p.Lower == mine.Index && mine.Lower == p.Index && p.MTU == c.A.MTU
			}) {
				miss("a port of %s for %s:%s", c.B.Bridge, c.A.Node, c.A.Interface)
			}
		}
	}
	for _, n := range l.Nodes {
		if lo := k.link(Place(n.Name), "lo"); lo == nil || !lo.Up() {
			miss("lo of %s", n.Name)
		}
		for _, w := range []string{"127.0.0.1/8", "::1/128"} {
			if !slices.ContainsFunc(k.seen[Place(n.Name)].Addresses, func(a rtnl.InterfaceAddress) bool { return a.Prefix.String() == w }) {
				miss("%s of %s", w, n.Name)
			}
		}
		for _, w := range n.Routes {
			if !slices.ContainsFunc(k.seen[Place(n.Name)].Routes, func(r rtnl.TableRoute) bool {
				return r.To == w.To && r.Via == w.Via && (w.Metric == 0 || r.Metric == w.Metric)
			}) {
				miss("route %+v of %s", w, n.Name)
			}
		}
	}
	return lacks
}
