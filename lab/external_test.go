package lab

import (
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
