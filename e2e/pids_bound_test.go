package e2e

import (
	"strconv"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/testenv"
)

// A file lifts the bound of processes that every node has; in a node that runs, one as high as it was started with can be changed.
func TestProcessesOfANode(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		text := func(limits string) string {
			return writeFile(t, t.TempDir(), "lab.yaml", "nodes: {a: {}, b: {limits: {pids: 5000}}, c: {limits: {pids: max}}, d: {"+limits+"}}\n")
		}
		r := start(t, text(""))
		// bound is the soft and the hard limit, which are the same.
		bound := func(node string) int {
			n := strings.Fields(r.sh(node, "grep '^Max processes' /proc/self/limits"))
			soft, err := strconv.Atoi(n[2])
			if err != nil || n[2] != n[3] {
				t.Fatalf("limits of %s: %v, %v", node, n, err)
			}
			return soft
		}
		if got := bound("a"); got != container.Processes {
			t.Errorf("a node without limits has %d processes", got)
		}
		if got := bound("b"); got != 5000 {
			t.Errorf("a node of 5000 has %d processes", got)
		}
		if got := bound("c"); got <= 5000 {
			t.Errorf("a node of all processes has %d", got)
		}
		if out := testenv.Must(t, "inspect", r.name+"/c"); !strings.Contains(out, "pids max") {
			t.Errorf("inspect does not tell of the limit:\n%s", out)
		}
		refused := testenv.Run(t, "update", r.name+"/a", "--pids", "5000")
		if refused.Code == 0 || !strings.Contains(refused.Stderr, "4096 processes") || !strings.Contains(refused.Stderr, "pids: max") {
			t.Errorf("update of a node to more than it can have: exit code %d, %s", refused.Code, refused.Stderr)
		}
		testenv.Must(t, "update", r.name+"/a", "--pids", "64")
		testenv.Must(t, "update", r.name+"/c", "--pids", "64")
		testenv.Must(t, "update", r.name+"/c", "--pids", "max")
		r.sh("c", "for i in $(seq 100); do sleep 1 & done")

		pid := r.node("d").PID
		testenv.Must(t, "up", text("limits: {pids: 64}"), "--name", r.name)
		if r.node("d").PID != pid {
			t.Error("fewer processes took a new node")
		}
		testenv.Must(t, "up", text("limits: {pids: max}"), "--name", r.name)
		if got := bound("d"); got <= container.Processes || r.node("d").PID == pid {
			t.Errorf("a node that the file has given all processes has %d", got)
		}
	})
}
