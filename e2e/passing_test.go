package e2e

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A node whose processes have all descriptors on their way through sockets that they may have keeps its init from passing any on: who asks for that is told
// so, and what needs none goes on: changes, restarts, stops, and a node that is started anew in its place. unix(7), ETOOMANYREFS.
func TestNodePassesAllDescriptors(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		hog := testenv.Program(t, "./testdata/hog")
		text := func(more string) string {
			return writeFile(t, t.TempDir(), "lab.yaml", "nodes: {a: {command: \"sleep infinity | /hog passing\", binds: [\""+hog+":/hog\"]"+more+"}, b: {}}\n")
		}
		r := start(t, text(""))
		refused := func() bool {
			got := testenv.Run(t, "exec", r.name+"/a", "--", "true")
			return got.Code != 0 && strings.Contains(got.Stderr, "on their way through sockets") && strings.Contains(got.Stderr, "nsnet restart")
		}
		testenv.Eventually(t, patience, "exec is refused", refused)
		if got := r.exec("b", "true"); got.Code != 0 {
			t.Errorf("in another node: %+v", got)
		}
		testenv.Must(t, "up", "--name", r.name, "--replace", text(", hosts: [10.0.0.1 there]"))
		testenv.Must(t, "inspect", r.name)
		if !refused() {
			t.Error("after a change exec is not refused")
		}
		testenv.Must(t, "up", "--name", r.name, "--replace", text(", hosts: [10.0.0.1 there], env: {X: y}"))
		testenv.Must(t, "restart", r.name+"/a")
		testenv.Eventually(t, patience, "exec is refused again", refused)
		testenv.Must(t, "up", "--name", r.name, "--replace", text(", hostname: anew"))
		testenv.Eventually(t, patience, "exec is refused again", refused)
		testenv.Must(t, "stop", r.name+"/a")
		testenv.Eventually(t, patience, "exec works when the command has ended", func() bool { return r.exec("a", "true").Code == 0 })
	})
}
