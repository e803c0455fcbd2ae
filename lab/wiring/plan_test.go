package wiring

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/topology"
)

// lab draws a lab of few names, so that two of them have much in common and much not.
func lab(t *rapid.T, name string) *topology.Lab {
	l := &topology.Lab{Name: "demo"}
	some := func(label string, of ...string) []string {
		return slices.DeleteFunc(of, func(string) bool { return !rapid.Bool().Draw(t, name+" "+label) })
	}
	for i, b := range some("bridge", "lan0", "lan1", "a.eth0", "docker0") {
		v := topology.Bridge{Name: b, MTU: rapid.SampledFrom([]int{1500, 9000}).Draw(t, "mtu"), STP: rapid.Bool().Draw(t, "stp"),
			MAC: fmt.Sprintf("02:00:00:00:01:%02x", i), External: b == "docker0"}
		if b == "lan0" && rapid.Bool().Draw(t, "leg") {
			v.Addresses, v.HostMAC = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/16")}, "02:00:00:00:02:01"
		}
		l.Bridges = append(l.Bridges, v)
	}
	for _, n := range some("node", "a", "b", "a.b") {
		v := topology.Node{Name: n}
		if rapid.Bool().Draw(t, "router") {
			v.Sysctls = map[string]string{"net.ipv4.ip_forward": "1"}
		}
		l.Nodes = append(l.Nodes, v)
	}
	if len(l.Nodes) == 0 {
		return l
	}
	used := map[string]bool{}
	count := 0
	end := func() (topology.Endpoint, bool) {
		n := rapid.IntRange(0, len(l.Nodes)-1).Draw(t, "at")
		e := topology.Endpoint{Node: l.Nodes[n].Name, Interface: rapid.SampledFrom([]string{"eth0", "b.c", "long-name-eth0"}).Draw(t, "interface"),
			MTU: rapid.SampledFrom([]int{1200, 1500}).Draw(t, "end mtu")}
		key := e.Node + ":" + e.Interface
		if used[key] {
			return e, false
		}
		used[key] = true
		count++
		e.MAC = fmt.Sprintf("02:00:00:00:03:%02x", rapid.IntRange(0, 1).Draw(t, "mac")*100+count)
		e.Addresses = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(count), 0, byte(rapid.IntRange(2, 3).Draw(t, "host"))}), 24),
			netip.MustParsePrefix(fmt.Sprintf("fd00:%d::2/64", count))}
		if rapid.Bool().Draw(t, "routed") {
			via := e.Addresses[0].Addr().As4()
			via[3] = 9
			l.Nodes[n].Routes = append(l.Nodes[n].Routes, topology.Route{To: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(count), 0, 0}), 16), Via: netip.AddrFrom4(via),
				Metric: rapid.SampledFrom([]int{0, 5}).Draw(t, "metric")},
				topology.Route{To: netip.MustParsePrefix(fmt.Sprintf("fd01:%d::/64", count)), Dev: e.Interface})
		}
		return e, true
	}
	for range rapid.IntRange(0, 6).Draw(t, "links") {
		a, ok := end()
		if !ok {
			continue
		}
		k := topology.Link{A: a}
		if b, ok := end(); ok && rapid.Bool().Draw(t, "pair") {
			k.B = b
			k.A.Peers = []netip.Prefix{netip.PrefixFrom(b.Addresses[0].Addr(), 32)}
		} else if len(l.Bridges) > 0 {
			k.B = topology.Endpoint{Bridge: rapid.SampledFrom(l.Bridges).Draw(t, "to").Name}
			if k.B.Bridge == "lan0" {
				k.A.Addresses = append(k.A.Addresses, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(count)}), 32))
			}
		} else {
			continue
		}
		l.Links = append(l.Links, k)
	}
	// Routes of ends that found no link have no interface.
	for i := range l.Nodes {
		n := &l.Nodes[i]
		n.Routes = slices.DeleteFunc(n.Routes, func(r topology.Route) bool {
			return !slices.ContainsFunc(l.Links, func(k topology.Link) bool {
				for _, e := range []topology.Endpoint{k.A, k.B} {
					if e.Node == n.Name && (r.Dev == e.Interface || r.Via.IsValid() && e.Addresses[0].Masked().Contains(r.Via)) {
						return true
					}
				}
				return false
			})
		})
	}
	return l
}

// fresh is a kernel in which no lab has been, with a bridge of the host.
func fresh() *kernel {
	k := newKernel(Fabric, Host)
	k.seen[Host].Links = append(k.seen[Host].Links, rtnl.Link{Index: 7, Name: "docker0", Kind: "bridge", Flags: unix.IFF_UP})
	return k
}

// nodes makes and removes network namespaces, as the lab init does before the wires change.
func (k *kernel) nodes(l *topology.Lab) {
	want := map[Place]bool{Fabric: true, Host: true}
	for i := range l.Nodes {
		want[Place(l.Nodes[i].Name)] = true
	}
	for p, n := range k.seen {
		if !want[p] {
			for _, link := range slices.Clone(n.Links) {
				k.delete(p, link.Index)
			}
			delete(k.seen, p)
		}
	}
	for p := range want {
		if k.seen[p] == nil {
			k.add(p)
		}
	}
}

// What was planned and done leaves nothing to plan; from one lab to another and back is as if nothing had been.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := fresh()
		a, b := lab(t, "first"), lab(t, "second")
		k.nodes(a)
		if n, err := k.converge(a); err != nil || n > 1 {
			t.Fatalf("a new lab: %d rounds, error %v", n, err)
		}
		first := k.text()
		k.nodes(b)
		if _, err := k.converge(b, a); err != nil {
			t.Fatalf("to the second: %v", err)
		}
		there := k.text()
		direct := fresh()
		direct.nodes(b)
		if _, err := direct.converge(b); err != nil {
			t.Fatal(err)
		}
		if got := direct.text(); got != there {
			t.Fatalf("by way of another:\n%s\n\nat once:\n%s", there, got)
		}
		k.nodes(a)
		if _, err := k.converge(a, b); err != nil {
			t.Fatalf("back: %v", err)
		}
		if got := k.text(); got != first {
			t.Fatalf("there and back:\n%s\n\nbefore:\n%s", got, first)
		}
	})
}

// A change that was broken off anywhere, and then another file, end like that file alone.
func TestBrokenOff(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := fresh()
		a, b, c := lab(t, "first"), lab(t, "second"), lab(t, "third")
		wa, wb := Of(a, true), Of(b, true)
		k.nodes(a)
		if _, err := k.converge(a); err != nil {
			t.Fatal(err)
		}
		k.nodes(b)
		changes, err := Plan(wb, []*Want{wa}, k.seen, nil)
		if err != nil {
			t.Fatal(err)
		}
		if steps := Steps(changes); len(steps) > 0 {
			for _, s := range steps[:rapid.IntRange(0, len(steps)).Draw(t, "until")] {
				if err := k.do(s); err != nil {
					t.Fatal(err)
				}
			}
		}
		k.nodes(c)
		if _, err := k.converge(c, b, a); err != nil {
			t.Fatal(err)
		}
		direct := fresh()
		direct.nodes(c)
		if _, err := direct.converge(c); err != nil {
			t.Fatal(err)
		}
		if got, want := k.text(), direct.text(); got != want {
			t.Fatalf("after a change that was broken off:\n%s\n\nat once:\n%s", got, want)
		}
	})
}

// harm does to a lab what a user may do by hand.
func harm(t *rapid.T, k *kernel) {
	places := []Place{}
	for p := range k.seen {
		places = append(places, p)
	}
	slices.Sort(places)
	p := rapid.SampledFrom(places).Draw(t, "place")
	n := k.seen[p]
	at := rapid.IntRange(0, len(n.Links)-1).Draw(t, "which")
	l := &n.Links[at]
	if l.Name == "docker0" {
		return
	}
	switch rapid.IntRange(0, 8).Draw(t, "harm") {
	case 0:
		if l.Name != "lo" {
			k.delete(p, l.Index)
		}
	case 1:
		l.Flags = 0
	case 2:
		if l.Name != "lo" {
			l.MTU = 1300
		}
	case 3:
		l.Master = 0
	case 4:
		n.Routes = nil
	case 5, 6:
		for _, a := range slices.Clone(n.Addresses) {
			if a.Index != l.Index {
				continue
			}
			_ = k.do(Step{Verb: DelAddress, Place: p, Link: l.Name, Index: l.Index, Address: a.Prefix})
			if changed := netip.MustParsePrefix("192.0.2.99/24"); l.Name != "lo" && a.Prefix.Addr().Is4() && rapid.Bool().Draw(t, "changed") {
				_ = k.do(Step{Verb: AddAddress, Place: p, Link: l.Name, Index: l.Index, Address: changed})
			}
		}
	case 8: // routes that lead nowhere in the place of others
		for i := range n.Routes {
			if r := &n.Routes[i]; !r.Kernel() && p != Host { // the host's own of that kind stay
				*r = rtnl.TableRoute{To: r.To, Metric: r.Metric, Table: r.Table, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNREACHABLE}
			}
		}
	case 7: // another interface of the name
		if p != Host && l.Name != "lo" {
			name, index := l.Name, l.Index
			k.delete(p, index)
			n.Links = append(n.Links, rtnl.Link{Index: index, Name: name, Kind: "dummy"})
		}
	}
}

// Whatever was done to the wires by hand is mended.
func TestMends(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := fresh()
		l := lab(t, "lab")
		k.nodes(l)
		if _, err := k.converge(l); err != nil {
			t.Fatal(err)
		}
		before := k.text()
		for range rapid.IntRange(1, 5).Draw(t, "harms") {
			harm(t, k)
		}
		if _, err := k.converge(l, l); err != nil {
			t.Fatal(err)
		}
		if got := k.text(); got != before {
			t.Fatalf("mended:\n%s\n\nbefore:\n%s", got, before)
		}
	})
}

// What a daemon in a node has added, and what nsnet attach has, is nobody's business here.
func TestStrangersStay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := fresh()
		l := lab(t, "lab")
		w := Of(l, true)
		k.nodes(l)
		if _, err := k.converge(l); err != nil {
			t.Fatal(err)
		}
		for p, n := range k.seen {
			n.Links = append(n.Links, rtnl.Link{Index: 9000, Name: "ns0123456789", Kind: "veth", Alias: "nsnet:attach:0123456789", Lower: 3, LowerNS: -7},
				rtnl.Link{Index: 9001, Name: "mine", Kind: "dummy"})
			if p == Fabric || p == Host {
				continue
			}
			for _, l := range n.Links {
				n.Addresses = append(n.Addresses, rtnl.InterfaceAddress{Index: l.Index, Prefix: netip.MustParsePrefix("198.51.100.1/24"), Flags: unix.IFA_F_PERMANENT})
			}
			n.Routes = append(n.Routes, rtnl.TableRoute{To: netip.MustParsePrefix("203.0.113.0/24"), Index: 9001, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BGP, Type: unix.RTN_UNICAST})
		}
		if changes, err := Plan(w, []*Want{w}, k.seen, nil); err != nil || len(changes) > 0 {
			t.Fatalf("%+v, error %v", changes, err)
		}
	})
}

func TestTaken(t *testing.T) {
	t.Parallel()
	l := &topology.Lab{Name: "demo", Bridges: []topology.Bridge{{Name: "lan0", MTU: 1500, MAC: "02:00:00:00:00:01", HostMAC: "02:00:00:00:00:02",
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}}}
	w := Of(l, true)
	k := fresh()
	k.seen[Host].Links = append(k.seen[Host].Links, rtnl.Link{Index: 8, Name: w.Cables[0].B.Name, Kind: "dummy"})
	if _, err := Plan(w, nil, k.seen, nil); err == nil || !strings.Contains(err.Error(), "not this lab's") {
		t.Errorf("an interface of the host is in the way: %v", err)
	}
}

// A card that attach has made where the last file had a link is no link of the lab's, not even of a lab called attach.
func TestAttachedStays(t *testing.T) {
	t.Parallel()
	had := &Want{Lab: "attach", Cables: []Cable{{Name: "a:eth0 -- lan0", A: End{Place: "a", Name: "eth0"}, B: End{Place: Fabric, Name: "p1"}}}}
	for alias, stays := range map[string]bool{"nsnet:attach:0123456789": true, "": false} {
		seen := Seen{"a": {Links: []rtnl.Link{{Index: 1, Name: "lo", Flags: unix.IFF_UP}, {Index: 7, Name: "eth0", Kind: "veth", Alias: alias}}}, Fabric: {}}
		if changes, err := Plan(&Want{Lab: "attach"}, []*Want{had}, seen, nil); err != nil || (len(changes) == 0) != stays {
			t.Errorf("an interface with the alias %q: %+v, %v", alias, changes, err)
		}
	}
}

// A route is another one with another metric.
func TestMetric(t *testing.T) {
	t.Parallel()
	to := netip.MustParsePrefix("198.51.100.0/24")
	want := &Want{Lab: "l", Nodes: []Node{{Name: "a", Routes: []Route{{To: to, Metric: 7}}}}}
	for metric, n := range map[int]int{7: 0, 5: 1} {
		seen := Seen{"a": {Links: []rtnl.Link{{Index: 1, Name: "lo", Flags: unix.IFF_UP}}, Routes: []rtnl.TableRoute{{To: to, Index: 1, Metric: metric, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC, Type: unix.RTN_UNICAST}}}}
		if changes, err := Plan(want, nil, seen, nil); err != nil || len(changes) != n {
			t.Errorf("with the metric %d in place of 7: %+v, %v", metric, changes, err)
		}
	}
}

// A route for some packets, by their type of service, is not the one that the file means, nor in its way.
func TestTypeOfService(t *testing.T) {
	t.Parallel()
	to := netip.MustParsePrefix("198.51.100.0/24")
	want := &Want{Lab: "l", Nodes: []Node{{Name: "a", Routes: []Route{{To: to}}}}}
	seen := Seen{"a": {Links: []rtnl.Link{{Index: 1, Name: "lo", Flags: unix.IFF_UP}}, Routes: []rtnl.TableRoute{{To: to, Index: 1, TOS: 0x10, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST}}}}
	changes, err := Plan(want, nil, seen, nil)
	if err != nil || len(changes) != 1 || changes[0].Op != "+" {
		t.Errorf("%+v, %v", changes, err)
	}
}
