package lab

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/nsnet/nsnet/topology"
)

// A bridge of the host that is gone leaves its links the MTU they had, but those whose file says one.
func TestWithoutBridges(t *testing.T) {
	t.Parallel()
	lab := func(mtu, host int, links ...int) *topology.Lab {
		l := &topology.Lab{Bridges: []topology.Bridge{{Name: "br", External: true, MTU: mtu, HostMTU: host}}}
		for i, m := range links {
			l.Links = append(l.Links, topology.Link{A: topology.Endpoint{Node: string(rune('a' + i)), Interface: "eth0", MTU: m}, B: topology.Endpoint{Bridge: "br"}})
		}
		return l
	}
	mtus := func(l *topology.Lab) []int {
		all := []int{l.Bridges[0].MTU, l.Bridges[0].HostMTU}
		for i := range l.Links {
			all = append(all, l.Links[i].A.MTU)
		}
		return all
	}
	want, was := lab(1500, 0, 1500, 1300, 1500), lab(1400, 1400, 1400, 1400)
	if got := mtus(withoutBridges(want, was, []string{"br"})); !slices.Equal(got, []int{1400, 1400, 1400, 1300, 1500}) {
		t.Errorf("gone: %v", got)
	}
	if got := mtus(withoutBridges(want, was, nil)); !slices.Equal(got, mtus(want)) {
		t.Errorf("there: %v", got)
	}
	if got := mtus(want); !slices.Equal(got, []int{1500, 0, 1500, 1300, 1500}) {
		t.Errorf("the file's is changed: %v", got)
	}
}

// Who gives a bridge of the host an address that it has not is told: nodes would have a default route to nobody.
func TestStrangeAddresses(t *testing.T) {
	t.Parallel()
	prefix := netip.MustParsePrefix
	look := func(name string) (topology.HostBridge, bool) {
		return topology.HostBridge{Addresses: []netip.Prefix{prefix("10.80.0.9/24"), prefix("fd00::1/64")}}, name != "gone"
	}
	for name, tc := range map[string]struct {
		b    topology.Bridge
		want int
	}{
		"its own":       {topology.Bridge{Name: "b", External: true, Addresses: []netip.Prefix{prefix("10.80.0.9/16"), prefix("fd00::1/64")}}, 0},
		"another":       {topology.Bridge{Name: "b", External: true, Addresses: []netip.Prefix{prefix("10.80.0.1/24"), prefix("fd00::1/64")}}, 1},
		"none given":    {topology.Bridge{Name: "b", External: true}, 0},
		"gone":          {topology.Bridge{Name: "gone", External: true, Addresses: []netip.Prefix{prefix("10.80.0.1/24")}}, 0},
		"the lab's own": {topology.Bridge{Name: "b", Addresses: []netip.Prefix{prefix("10.80.0.1/24")}}, 0},
	} {
		if got := strangeAddresses(&topology.Lab{Bridges: []topology.Bridge{tc.b}}, look); len(got) != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
