package lab

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/topology"
)

// A node's own addresses come first, in file order, whichever end of a link it is.
func TestTargets(t *testing.T) {
	t.Parallel()
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, p := range list {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	l := &topology.Lab{Links: []topology.Link{
		{A: topology.Endpoint{Node: "web", Interface: "eth0", Addresses: prefixes("192.0.2.2/24", "2001:db8::2/64")}, B: topology.Endpoint{Bridge: "lan0"}},
		{A: topology.Endpoint{Node: "db", Interface: "eth0", Addresses: prefixes("192.0.2.3/24")}, B: topology.Endpoint{Bridge: "lan0"}},
		{A: topology.Endpoint{Node: "db", Interface: "p0", Addresses: prefixes("10.1.1.1/32")}, B: topology.Endpoint{Node: "web", Interface: "p0", Addresses: prefixes("10.1.1.2/32")}},
	}}
	text := func(node string, port uint16) string {
		var out []string
		for _, t := range targets(l, node, port) {
			out = append(out, t.String())
		}
		return strings.Join(out, " ")
	}
	for node, want := range map[string]string{
		"web":  "192.0.2.2:80 [2001:db8::2]:80 10.1.1.2:80 127.0.0.1:80 [::1]:80",
		"db":   "192.0.2.3:80 10.1.1.1:80 127.0.0.1:80 [::1]:80",
		"idle": "127.0.0.1:80 [::1]:80",
	} {
		if got := text(node, 80); got != want {
			t.Errorf("a port of %s leads to %s, not %s", node, got, want)
		}
	}
}
