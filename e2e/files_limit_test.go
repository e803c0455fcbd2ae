package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// The soft limit of open files is a node's own, and not what nsnet has raised for itself.
func TestOpenFilesOfANode(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "prlimit")
		file := writeFile(t, t.TempDir(), "lab.yaml", "nodes: {a: {command: [sh, -c, 'ulimit -Sn; ulimit -Hn; exec sleep infinity']}}\n")
		for hard, want := range map[string]string{"20000": "1024\n20000", "600": "600\n600"} {
			name := testenv.LabName(t)
			testenv.MustCommand(t, "prlimit", "--nofile=64:"+hard, testenv.Binary(t), "up", file, "--name", name)
			got := testenv.Must(t, "exec", name+"/a", "--", "sh", "-c", "ulimit -Sn; ulimit -Hn")
			if strings.TrimSpace(got) != want {
				t.Errorf("hard limit %s: exec has %q", hard, got)
			}
			testenv.Eventually(t, 5*time.Second, "the command has said its limits", func() bool {
				return strings.TrimSpace(testenv.Must(t, "logs", name+"/a")) == want
			})
			testenv.Must(t, "down", name)
		}
	})
}
