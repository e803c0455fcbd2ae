package e2e

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// far is behind two routers, near behind one, both on the way to the host's bridge.
const behindRouters = `
nodes:
  r: {sysctls: {net.ipv4.ip_forward: 1, net.ipv6.conf.all.forwarding: 1}, routes: [{to: default, via: 10.61.0.1}, {to: "::/0", via: "fd00:61::1"}, {to: 10.63.0.0/24, via: 10.62.0.2}, {to: "fd00:63::/64", via: "fd00:62::2"}]}
  near: {sysctls: {net.ipv4.ip_forward: 1, net.ipv6.conf.all.forwarding: 1}, routes: [{to: default, via: 10.62.0.1}, {to: "::/0", via: "fd00:62::1"}]}
  far: {routes: [{to: default, via: 10.63.0.1}, {to: "::/0", via: "fd00:63::1"}]}
bridges:
  lan: {address: [10.61.0.1/24, "fd00:61::1/64"], nat: true}
links:
  - {endpoints: ["r:up", lan], address: [10.61.0.2/24, "fd00:61::2/64"]}
  - {endpoints: ["r:in", "near:eth0"], addresses: [[10.62.0.1/24, "fd00:62::1/64"], [10.62.0.2/24, "fd00:62::2/64"]]}
  - {endpoints: ["near:in", "far:eth0"], addresses: [[10.63.0.1/24, "fd00:63::1/64"], [10.63.0.2/24, "fd00:63::2/64"]]}
`

// Nodes behind routers of the lab get answers from the host and from beyond it, and the host from them, without a line by hand on the host.
// Nobody beyond the host reaches them. What the host loses is seen and mended, what it has otherwise stays, and nothing is left.
func TestAnswersGoBehindRouters(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		neighbour(t, "ext", 1)
		routes := func() string {
			return testenv.MustCommand(t, "ip", "route") + testenv.MustCommand(t, "ip", "-6", "route")
		}
		before := routes()
		r := startText(t, behindRouters)
		outside := []string{"10.61.0.1", "fd00:61::1", "203.0.1.1", "fd00:203:1::1", "203.0.1.2", "fd00:203:1::2"}
		inside := []string{"10.62.0.2", "fd00:62::2", "10.63.0.2", "fd00:63::2"}
		works := func() {
			t.Helper()
			for _, to := range outside {
				r.ping("near", to)
				r.ping("far", to)
			}
			for _, to := range inside {
				pingFromHost(t, to)
			}
		}
		works()
		cannotReach(t, "ext", inside...)
		file := func(text string) string { return writeFile(t, t.TempDir(), "lab.yaml", text) }
		plan := func(text string, code int, want ...string) {
			t.Helper()
			got := testenv.Run(t, "plan", "--replace", "--name", r.name, file(text))
			if got.Code != code {
				t.Errorf("plan: %+v", got)
			}
			for _, w := range want {
				if !strings.Contains(got.Stdout, w) {
					t.Errorf("plan does not say %q: %s", w, got.Stdout)
				}
			}
		}
		up := func(text string) string {
			t.Helper()
			got := testenv.Run(t, "up", "--replace", "--name", r.name, file(text))
			if got.Code != 0 {
				t.Fatalf("up: %+v", got)
			}
			return got.Stderr
		}
		plan(behindRouters, 0)

		testenv.MustCommand(t, "ip", "route", "del", "10.63.0.0/24")
		testenv.MustCommand(t, "ip", "-6", "route", "del", "fd00:62::/64")
		testenv.MustCommand(t, "ip", "route", "del", "10.61.0.0/24")
		plan(behindRouters, 10, "+ route to 10.63.0.0/24 via 10.61.0.2", "+ route to fd00:62::/64 via fd00:61::2", "has lost the route to 10.61.0.0/24")
		up(behindRouters)
		works()
		plan(behindRouters, 0)

		// The file moves a network, then puts it back.
		moved := strings.ReplaceAll(behindRouters, "10.63.0.", "10.64.0.")
		plan(moved, 10, "+ route to 10.64.0.0/24 via 10.61.0.2", "- route to 10.63.0.0/24 via 10.61.0.2")
		up(moved)
		pingFromHost(t, "10.64.0.2")
		if got := routes(); strings.Contains(got, "10.63.0.0/24") {
			t.Errorf("the host has a route to what is no more: %s", got)
		}
		up(behindRouters)
		works()

		// The host's own routes stay.
		testenv.Must(t, "down", r.name)
		if after := routes(); after != before {
			t.Errorf("the host's routes were\n%s\nand are\n%s", before, after)
		}
		testenv.MustCommand(t, "ip", "route", "add", "10.63.0.0/24", "via", "203.0.1.2")
		if got := up(behindRouters); !strings.Contains(got, "ip route add 10.63.0.0/24 via 10.61.0.2") {
			t.Errorf("up does not say that the host has another route: %s", got)
		}
		plan(behindRouters, 0)
		if got := routes(); strings.Count(got, "10.63.0.0/24") != 1 || !strings.Contains(got, "10.62.0.0/24 via 10.61.0.2") {
			t.Errorf("the host's routes: %s", got)
		}
		testenv.MustCommand(t, "ip", "route", "del", "10.63.0.0/24")
		up(behindRouters)
		works()
	})
}
