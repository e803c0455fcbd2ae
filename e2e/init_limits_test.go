package e2e

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Root of a node, whose id is its init's, cannot take from it what it needs: open files, memory, processes. Each thread is refused by itself.
func TestNodeDoesNotLimitItsInit(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "prlimit")
		r := startText(t, "nodes: {a: {}, user: {user: daemon}}\n")
		for _, node := range []string{"a", "user"} {
			if got := r.sh(node, `for l in nofile as data stack nproc fsize cpu rss memlock sigpending msgqueue; do for t in $(ls /proc/1/task); do
				prlimit -p $t --$l=3:3 2>/dev/null && echo $t $l; done; done; true`); got != "" {
				t.Errorf("%s: limits of these threads of the init were set:\n%s", node, got)
			}
			if got := r.sh(node, "echo alive"); got != "alive" {
				t.Errorf("%s: its init has not gone on: %s", node, got)
			}
			// Its own are a node's to set, and the ids of its commands are whole.
			r.sh(node, "sleep 10 & prlimit -p $! --cpu=9:9 && kill $!")
			if got := r.sh(node, "set -- $(grep Gid: /proc/self/status); [ $2 = $3 ] && [ $2 = $4 ] && [ $2 = $5 ] && echo same"); got != "same" {
				t.Errorf("%s: group ids of a command differ: %s", node, got)
			}
		}
	})
}

// Where the node may, as its file says so, and leaves its init no open file, that ends and its end is told: nothing hangs, and nothing spins.
func TestInitWithoutFilesEnds(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "prlimit")
		path := writeFile(t, t.TempDir(), "lab.yaml", "nodes: {a: {caps: [SYS_RESOURCE]}, b: {}}\n")
		name := testenv.LabName(t)
		testenv.Must(t, "up", "--trust", "--name", name, path)
		defer testenv.Must(t, "down", name)
		testenv.Run(t, "exec", name+"/a", "--", "prlimit", "-p", "1", "--nofile=2:2")
		got := testenv.Run(t, "exec", name+"/a", "--", "true")
		if got.Code == 0 || !strings.Contains(got.Stderr, "node a") {
			t.Errorf("exec in a node whose init cannot go on: exit code %d, %s", got.Code, got.Stderr)
		}
		if said := testenv.Must(t, "inspect", name+"/a"); !strings.Contains(said, "its limits have been lowered") {
			t.Errorf("why it has ended:\n%s", said)
		}
		testenv.Must(t, "exec", name+"/b", "--", "true")
	})
}
