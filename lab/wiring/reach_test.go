package wiring

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/topology"
)

// What is behind a lab's legs: its bridges and links, and what routes lead to through other nodes; not what the host has, nor what it is
// asked for.
func TestReachOf(t *testing.T) {
	t.Parallel()
	l, err := topology.Parse("l.yaml", []byte(`
name: l
nodes:
  r: {routes: [{to: 10.30.0.0/16, via: 10.20.0.2}, {to: 192.0.2.0/24, via: 10.10.0.1}, {to: default, via: 10.10.0.1}, {to: 172.17.9.0/24, via: 172.17.0.1}]}
  s: {routes: [{to: default, via: 10.20.0.1}, {to: 192.0.2.0/24, via: 10.20.0.1}, {to: 10.40.0.0/16, via: 10.20.0.1}, {to: 10.41.0.0/16, via: 10.20.0.9}]}
bridges:
  lan: {address: [10.10.0.1/24, "fd00:10::1/64"]}
  docker0: {external: true, subnet: 172.17.0.0/16}
  wire: {subnet: 10.50.0.0/24}
links:
  - {endpoints: ["r:eth0", lan], address: [10.10.0.2/24, "fd00:10::2/64"]}
  - {endpoints: ["r:eth1", "s:eth0"], addresses: [10.20.0.1/24, 10.20.0.2/24]}
  - {endpoints: ["r:eth2", docker0], address: 172.17.0.9/16}
`), topology.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := ReachOf(l, Of(l, false))
	slices.SortFunc(r.Subnets, func(a, b netip.Prefix) int { return strings.Compare(a.String(), b.String()) })
	if d := cmp.Diff("[10.10.0.0/24 10.20.0.0/24 10.30.0.0/16 10.41.0.0/16 10.50.0.0/24 fd00:10::/64] [10.10.0.2 fd00:10::2]",
		fmt.Sprint(r.Subnets, r.Addresses)); d != "" {
		t.Error(d)
	}
}

// row is a lab of nodes in a row, or in a ring, of which each sends the same networks on to the next; the first has the leg.
func row(nodes, routes int, ring bool) string {
	var b strings.Builder
	b.WriteString("name: l\nbridges: {lan: {address: 10.10.0.1/24}}\nnodes:\n")
	for i := range nodes {
		fmt.Fprintf(&b, "  n%d:\n", i)
		if i+1 < nodes || ring {
			b.WriteString("    routes:\n")
			to := (i + 1) % nodes
			for j := range routes {
				fmt.Fprintf(&b, "    - {to: 20.%d.%d.0/24, via: 30.%d.%d.2}\n", j>>8, j&255, to>>8, to&255)
			}
		}
	}
	b.WriteString("links:\n- {endpoints: ['n0:lan', lan], address: 10.10.0.2/24}\n")
	for i := range nodes {
		if to := (i + 1) % nodes; to > 0 || ring {
			fmt.Fprintf(&b, "- {endpoints: ['n%d:next', 'n%d:last'], addresses: [30.%d.%d.1/24, 30.%d.%d.2/24]}\n", i, to, to>>8, to&255, to>>8, to&255)
		}
	}
	return b.String()
}

// What goes in a circle is nowhere, nor is what a packet does not live to see.
func TestReachOfFarNetworks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		nodes int
		ring  bool
		want  bool
	}{{3, false, true}, {300, false, true}, {3, true, false}, {300, true, false}} {
		l, err := topology.Parse("l.yaml", []byte(row(c.nodes, 1, c.ring)), topology.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(ReachOf(l, Of(l, false)).Subnets, netip.MustParsePrefix("20.0.0.0/24")); got != c.want {
			t.Errorf("%d nodes, a ring %v: %v", c.nodes, c.ring, got)
		}
	}
}

// However long the ways are that a file's routes lead, to follow them costs little beside reading the file.
func TestReachOfLongWays(t *testing.T) {
	t.Parallel()
	var l *topology.Lab
	var w *Want
	var err error
	reading, noCPU := testenv.CPU(func() {
		if l, err = topology.Parse("l.yaml", []byte(row(400, 50, true)), topology.Options{}); err == nil {
			w = Of(l, false)
		}
	})
	if err := errors.Join(err, noCPU); err != nil {
		t.Fatal(err)
	}
	following, err := testenv.CPU(func() { ReachOf(l, w) })
	if err != nil {
		t.Fatal(err)
	}
	if following > 12*reading {
		t.Errorf("following the routes takes %s, reading them %s", following, reading)
	}
}
