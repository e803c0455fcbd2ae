package e2e

import (
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A lab's own bridge with the spanning tree protocol forwards when up returns, in a new lab and for a node that is added.
func TestSpanningTreeForwards(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		file := func(more, links string) string {
			return writeFile(t, dir, "lab.yaml", "bridges: {lan0: {address: 10.12.0.1/24, stp: true}}\nnodes: {a: {}, b: {}"+more+"}\nlinks:\n"+
				"  - endpoints: ['a:eth0', lan0]\n  - endpoints: ['b:eth0', lan0]\n"+links)
		}
		r := start(t, file("", ""))
		first := func(node, to string) {
			t.Helper()
			if got := testenv.Run(t, "exec", r.name+"/"+node, "--", "ping", "-c", "1", "-W", "1", to); got.Code != 0 {
				t.Errorf("the first packet from %s to %s is lost: %s", node, to, got.Stdout)
			}
		}
		first("a", "b")
		first("b", "10.12.0.1")
		testenv.Must(t, "up", "--name", r.name, file(", c: {}", "  - endpoints: ['c:eth0', lan0]\n"))
		first("c", "a")
	})
}
