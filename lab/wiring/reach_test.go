package wiring

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
