package wiring

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nsnet/nsnet/topology"
)

// Where a node is not there, all is done for the others but for links to it and the routes through these.
func TestWithout(t *testing.T) {
	t.Parallel()
	end := func(node, iface, address string) topology.Endpoint {
		return topology.Endpoint{Node: node, Interface: iface, MTU: 1500, Addresses: []netip.Prefix{netip.MustParsePrefix(address)}}
	}
	route := func(to, via string) topology.Route {
		return topology.Route{To: netip.MustParsePrefix(to), Via: netip.MustParseAddr(via)}
	}
	w := Of(&topology.Lab{Name: "l", Bridges: []topology.Bridge{{Name: "lan", MTU: 1500}},
		Nodes: []topology.Node{{Name: "a", Routes: []topology.Route{route("198.51.100.0/24", "10.6.0.2"), route("203.0.113.0/24", "10.5.0.9")}}, {Name: "bad"}},
		Links: []topology.Link{
			{A: end("a", "eth0", "10.5.0.1/24"), B: topology.Endpoint{Bridge: "lan"}},
			{A: end("bad", "eth0", "10.5.0.2/24"), B: topology.Endpoint{Bridge: "lan"}},
			{A: end("a", "p0", "10.6.0.1/30"), B: end("bad", "p0", "10.6.0.2/30")},
		}}, false)
	left := w.Without([]string{"bad"})
	changes, err := Plan(w, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	possible, err := Plan(left, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	texts := func(steps []Step) (all []string) {
		for i := range steps {
			all = append(all, string(steps[i].Place)+": "+steps[i].label())
		}
		return all
	}
	if d := cmp.Diff(texts(Steps(possible)), texts(left.Possible(Steps(changes)))); d != "" {
		t.Error(d)
	}
	if !left.Cut("a", "p0") || left.Cut("a", "eth0") || len(left.Cables) != 1 || len(left.Nodes) != 1 || len(left.Nodes[0].Routes) != 1 {
		t.Errorf("%+v", left)
	}
}
