package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A file that takes networks of others from the host gets them if somebody allows it.
func TestSubnetsTakeConsent(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		neighbour(t, "lan", 1)
		testenv.MustCommand(t, "ip", "route", "add", "default", "via", "203.0.1.2")
		for _, c := range []struct{ address, node, subnet string }{
			{"8.8.8.1/24", "8.8.8.8", "8.8.8.0/24"},
			{"169.254.0.1/16", "169.254.169.254", "169.254.0.0/16"},
			{"2600::1/16", "2600::8", "2600::/16"},
		} {
			_, bits, _ := strings.Cut(c.subnet, "/")
			name := testenv.LabName(t)
			file := writeFile(t, t.TempDir(), "lab.yaml", fmt.Sprintf(`name: %s
nodes: {a: {}}
bridges:
  lan0: {address: "%s"}
links: [{endpoints: ["a:eth0", lan0], address: "%s/%s"}]
`, name, c.address, c.node, bits))
			refused(t, bare(t, "up", file), "subnets", file+":4:19: asks for what the host sends to "+c.subnet)
			if got := testenv.MustCommand(t, "ip", "address"); strings.Contains(got, c.address) {
				t.Errorf("it has an address nonetheless: %s", got)
			}
			if got := bare(t, "up", "--allow", "subnets", file); got.Code != 0 {
				t.Errorf("%+v", got)
			}
			pingFromHost(t, c.node)
			bare(t, "down", file)
		}
	})
}
