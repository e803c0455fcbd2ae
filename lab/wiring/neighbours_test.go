package wiring

import (
	"fmt"
	"net/netip"
	"testing"
)

// star is a lab of nodes on one bridge with the host.
func starOf(nodes int) *Want {
	w := &Want{Lab: "l", Cables: []Cable{{Leg: true, A: End{Place: Fabric, Master: "lan0"},
		B: End{Place: Host, Name: "leg", MAC: "02:00:00:00:ff:ff", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.255.254/16")}}}}}
	for i := range nodes {
		name := fmt.Sprintf("n%d", i)
		w.Nodes = append(w.Nodes, Node{Name: name})
		w.Cables = append(w.Cables, Cable{B: End{Place: Fabric, Master: "lan0"}, A: End{Place: Place(name), Name: "eth0", MAC: fmt.Sprintf("02:00:00:00:%02x:%02x", i>>8, i&255),
			Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 16), netip.MustParsePrefix("fe80::1/64")}}})
	}
	return w
}

func TestNeighbours(t *testing.T) {
	t.Parallel()
	for nodes, want := range map[int]int{2: 0, 22: 0, 23: 23, 48: 48, 120: 120, 200: 0} {
		got := Neighbours(starOf(nodes))
		if len(got) == 0 && want == 0 {
			continue
		}
		// The other nodes and the host.
		if n := got["n1"]; len(got) != nodes || len(n) != want {
			t.Errorf("%d nodes: %d have neighbours, one %d", nodes, len(got), len(n))
			continue
		}
		for _, n := range got["n1"] {
			if n.Interface != "eth0" || n.MAC == "02:00:00:00:00:01" || n.Addr.IsLinkLocalUnicast() {
				t.Errorf("n1 has neighbour %+v", n)
			}
		}
		if len(got[Host]) > 0 {
			t.Error("the host has neighbours")
		}
	}
	// A cable is a segment of its own.
	w := starOf(40)
	w.Cables = append(w.Cables, Cable{A: End{Place: "n0", Name: "p0", MAC: "02:01:00:00:00:01", Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/32")}},
		B: End{Place: "n1", Name: "p1", MAC: "02:01:00:00:00:02", Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.2/32")}}})
	last := func(p Place) Neighbour {
		for _, n := range Neighbours(w)[p] {
			if n.Interface != "eth0" {
				return n
			}
		}
		return Neighbour{}
	}
	if a, b := last("n0"), last("n1"); a != (Neighbour{"p0", netip.MustParseAddr("10.9.0.2"), "02:01:00:00:00:02"}) || b.Addr != netip.MustParseAddr("10.9.0.1") {
		t.Errorf("of a cable: %+v and %+v", a, b)
	}
}
