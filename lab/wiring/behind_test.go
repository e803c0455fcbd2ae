package wiring

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/topology"
)

// The host's way to what is behind routers: by the nearest, what others have in the internet by none, and nothing by a node that does not route.
func TestBehind(t *testing.T) {
	t.Parallel()
	l, err := topology.Parse("l.yaml", []byte(`
name: l
defaults: {sysctls: {net.ipv4.ip_forward: 1}}
nodes:
  a: {}
  b: {routes: [{to: 10.40.0.0/16, via: 10.20.0.9}, {to: default, via: 10.10.0.1}, {to: 192.0.2.0/24, via: 10.10.0.1}]}
  c: {sysctls: {net.ipv4.ip_forward: 0, net.ipv6.conf.all.forwarding: 1}}
  far: {}
bridges:
  lan: {address: [10.10.0.1/24, "fd00:10::1/64"]}
  wire: {}
links:
  - {endpoints: ["b:lan", lan], address: [10.10.0.3/24, "fd00:10::3/64"]}
  - {endpoints: ["a:lan", lan], address: 10.10.0.2/24}
  - {endpoints: ["c:lan", lan], address: [10.10.0.4/24, "fd00:10::4/64"]}
  - {endpoints: ["a:in", wire], address: 10.20.0.1/24}
  - {endpoints: ["b:in", wire], address: [10.20.0.2/24, 10.40.1.1/24, 8.8.8.1/24]}
  - {endpoints: ["c:in", wire], address: [10.21.0.1/24, "fd00:21::1/64"]}
  - {endpoints: ["far:in", wire], address: [10.20.0.9/24, 10.40.2.1/24, 10.30.0.1/24, 10.10.0.200/32]}
`), topology.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := Of(l, true)
	var got []string
	for i := range w.Cables {
		for _, r := range w.Cables[i].B.Routes {
			got = append(got, fmt.Sprintf("%s via %s", r.To, r.Via))
		}
	}
	slices.Sort(got)
	if d := cmp.Diff([]string{"10.20.0.0/24 via 10.10.0.2", "10.30.0.0/24 via 10.10.0.2", "10.40.0.0/16 via 10.10.0.3", "10.40.1.0/24 via 10.10.0.3", "fd00:21::/64 via fd00:10::4"}, got); d != "" {
		t.Error(d)
	}

	// The host's own networks and routes stay the host's.
	host := &Net{Links: []rtnl.Link{{Index: 2, Name: "eth0"}, {Index: 3, Name: "leg", Alias: Mark("l") + "lan"}}}
	for to, index := range map[string]int{"10.20.0.0/16": 2, "10.30.0.128/25": 2, "0.0.0.0/0": 2, "10.40.0.0/16": 3} {
		host.Routes = append(host.Routes, rtnl.TableRoute{To: netip.MustParsePrefix(to), Index: index, Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST})
	}
	host.Routes = append(host.Routes, rtnl.TableRoute{To: netip.MustParsePrefix("fd00:21::/64"), Table: unix.RT_TABLE_MAIN, Type: unix.RTN_BLACKHOLE, Protocol: unix.RTPROT_BOOT})
	var not []string
	for _, r := range w.Elsewhere(host) {
		not = append(not, r.To.String())
	}
	if got := strings.Join(not, " "); got != "10.20.0.0/24 10.30.0.0/24 fd00:21::/64" {
		t.Errorf("other routes are in the way of %s", got)
	}
}
