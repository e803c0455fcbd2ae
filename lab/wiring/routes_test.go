package wiring

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/topology"
)

// Routes by which next hops are reached come first, whatever their order in the file, and a next hop that is on no subnet or
// route of its interface is said to be on the link.
func TestRoutesByNextHops(t *testing.T) {
	t.Parallel()
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	eth0 := topology.Endpoint{Node: "a", Interface: "eth0", Addresses: []netip.Prefix{prefix("192.0.2.1/30"), prefix("fd00::1/64")}}
	eth1 := topology.Endpoint{Node: "a", Interface: "eth1", Addresses: []netip.Prefix{prefix("203.0.113.1/32")}, Peers: []netip.Prefix{prefix("203.0.113.2/32")}}
	links := []topology.Link{
		{A: eth0, B: topology.Endpoint{Node: "b", Interface: "eth0", Addresses: []netip.Prefix{prefix("198.51.100.1/30"), prefix("fd01::1/64")}}},
		{A: topology.Endpoint{Node: "b", Interface: "eth1", Addresses: []netip.Prefix{prefix("203.0.113.2/32")}}, B: eth1},
	}
	peer := Route{To: prefix("203.0.113.2/32"), Dev: "eth1"}
	to4, to6 := prefix("10.0.0.0/8"), prefix("fd99::/64")
	for name, c := range map[string]struct {
		file []topology.Route
		want []Route
	}{
		"on a subnet":                {[]topology.Route{{To: to4, Via: addr("192.0.2.2")}}, []Route{peer, {To: to4, Via: addr("192.0.2.2"), Dev: "eth0"}}},
		"on a subnet, with dev":      {[]topology.Route{{To: to6, Via: addr("fd00::2"), Dev: "eth0"}}, []Route{peer, {To: to6, Via: addr("fd00::2"), Dev: "eth0"}}},
		"link-local":                 {[]topology.Route{{To: to6, Via: addr("fe80::2"), Dev: "eth0"}}, []Route{peer, {To: to6, Via: addr("fe80::2"), Dev: "eth0"}}},
		"on no subnet":               {[]topology.Route{{To: to4, Via: addr("192.0.2.130"), Dev: "eth0"}}, []Route{peer, {To: to4, Via: addr("192.0.2.130"), Dev: "eth0", OnLink: true}}},
		"on no subnet, of IPv6":      {[]topology.Route{{To: to6, Via: addr("fd05::1"), Dev: "eth0"}}, []Route{peer, {To: to6, Via: addr("fd05::1"), Dev: "eth0", OnLink: true}}},
		"on another one's subnet":    {[]topology.Route{{To: to4, Via: addr("192.0.2.2"), Dev: "eth1"}}, []Route{peer, {To: to4, Via: addr("192.0.2.2"), Dev: "eth1", OnLink: true}}},
		"the other end":              {[]topology.Route{{To: to4, Via: addr("198.51.100.1")}}, []Route{peer, {To: to4, Via: addr("198.51.100.1"), Dev: "eth0", OnLink: true}}},
		"the other end, of IPv6":     {[]topology.Route{{To: to6, Via: addr("fd01::1")}}, []Route{peer, {To: to6, Via: addr("fd01::1"), Dev: "eth0", OnLink: true}}},
		"the other end with a route": {[]topology.Route{{To: to4, Via: addr("203.0.113.2")}}, []Route{peer, {To: to4, Via: addr("203.0.113.2"), Dev: "eth1"}}},
		"by a route that comes later": {
			[]topology.Route{{To: to4, Via: addr("192.0.2.130"), Dev: "eth0"}, {To: prefix("192.0.2.128/25"), Dev: "eth0"}},
			[]Route{peer, {To: prefix("192.0.2.128/25"), Dev: "eth0"}, {To: to4, Via: addr("192.0.2.130"), Dev: "eth0"}},
		},
		"by a route by a next hop": {
			[]topology.Route{{To: to4, Via: addr("10.1.0.1"), Dev: "eth0"}, {To: prefix("10.1.0.0/16"), Via: addr("192.0.2.2")}},
			[]Route{peer, {To: to4, Via: addr("10.1.0.1"), Dev: "eth0", OnLink: true}, {To: prefix("10.1.0.0/16"), Via: addr("192.0.2.2"), Dev: "eth0"}},
		},
		"by a route of another interface": {
			[]topology.Route{{To: prefix("192.0.2.128/25"), Dev: "eth1"}, {To: to4, Via: addr("192.0.2.130"), Dev: "eth0"}},
			[]Route{peer, {To: prefix("192.0.2.128/25"), Dev: "eth1"}, {To: to4, Via: addr("192.0.2.130"), Dev: "eth0", OnLink: true}},
		},
	} {
		w := Of(&topology.Lab{Name: "l", Nodes: []topology.Node{{Name: "a", Routes: c.file}, {Name: "b"}}, Links: links}, true)
		got := w.Nodes[0].Routes
		if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// A route whose next hop is said to be on the link is the one that is there, whether it was added so or not.
func TestOnLinkIsThere(t *testing.T) {
	t.Parallel()
	to, via := netip.MustParsePrefix("10.0.0.0/8"), netip.MustParseAddr("192.0.2.130")
	want := &Want{Lab: "l", Nodes: []Node{{Name: "a", Routes: []Route{{To: to, Via: via, OnLink: true}}}}}
	seen := Seen{"a": {Links: []rtnl.Link{{Index: 1, Name: "lo", Flags: unix.IFF_UP}},
		Routes: []rtnl.TableRoute{{To: to, Via: via, Index: 7, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC, Type: unix.RTN_UNICAST}}}}
	if changes, err := Plan(want, nil, seen, nil); err != nil || len(changes) != 0 {
		t.Errorf("%+v, %v", changes, err)
	}
}
