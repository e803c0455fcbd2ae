package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/topology"
)

// Ends of a cable in different subnets are legal: validate warns, with the place, and up makes of them what Linux does: each
// has its address and the route to its own subnet, no route to the other, and routes of the file reach it.
func TestLinkOfTwoSubnets(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		file := writeFile(t, t.TempDir(), "lab.yaml", `name: two
nodes:
  a: {routes: [{to: 10.78.0.0/24, dev: wire}, {to: "fd78::/64", dev: wire}]}
  b: {routes: [{to: 10.77.0.0/24, dev: wire}, {to: "fd77::/64", dev: wire}]}
links:
  - endpoints: ["a:wire", "b:wire"]
    addresses: [[10.77.0.1/24, "fd77::1/64"], [10.78.0.1/24, "fd78::1/64"]]
`)
		got := testenv.Run(t, "validate", file)
		if want := file + ":7:18: warning: address 10.77.0.1/24 of node a: the other end, node b, has no address in 10.77.0.0/24\n"; got.Code != 0 ||
			!strings.HasPrefix(got.Stderr, want) || strings.Count(got.Stderr, "\n") != 4 || !strings.Contains(got.Stdout, "is valid") {
			t.Errorf("validate: %+v", got)
		}
		var verdict struct {
			Valid    bool
			Warnings topology.Errors
		}
		got = testenv.Run(t, "validate", "--json", file)
		if err := json.Unmarshal([]byte(got.Stdout), &verdict); err != nil || !verdict.Valid || len(verdict.Warnings) != 4 || got.Stderr != "" || got.Code != 0 {
			t.Errorf("validate --json: %v\n%+v", err, got)
		}
		if w := verdict.Warnings; len(w) > 3 && (w[3].Line != 7 || w[3].Column != 62 || !strings.HasPrefix(w[3].Msg, "address fd78::1/64 of node b")) {
			t.Errorf("the last warning: %+v", w[3])
		}
		r := start(t, file)
		for _, want := range []string{"10.77.0.0/24 dev wire proto kernel scope link src 10.77.0.1", "10.78.0.0/24 dev wire "} {
			if got := r.sh("a", "ip route"); !strings.Contains(got, want) {
				t.Errorf("%q is not in\n%s", want, got)
			}
		}
		if got := r.sh("a", "ip route; ip -6 route"); strings.Contains(got, "10.78.0.1 ") || strings.Contains(got, "fd78::1 ") {
			t.Errorf("there is a route to the other end:\n%s", got)
		}
		r.pingAll("a", "10.78.0.1", "fd78::1")
		if got := testenv.Run(t, "plan", file, "--name", r.name); got.Code != 0 {
			t.Errorf("plan: %+v", got)
		}
	})
}
