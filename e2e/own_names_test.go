package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// Nodes may be called as what nsnet has beside their files: each has a log and keeps files of its own.
func TestNodesCalledAsFiles(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		file := writeFile(t, t.TempDir(), "lab.yaml", `name: x
defaults: {persist: true}
nodes:
  init: {command: [sh, -c, "echo said; exec sleep infinity"], ready: {log: said}}
  lock:
  alive:
`)
		r := start(t, file)
		if got := testenv.Must(t, "logs", r.name+"/init"); got != "said\n" {
			t.Errorf("the log of init: %q", got)
		}
		entries, err := os.ReadDir(filepath.Join(lab.RunDir, r.name))
		if err != nil {
			t.Fatal(err)
		}
		for _, own := range []string{".init.log", "init.log"} {
			if !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == own }) {
				t.Errorf("no %s among %v", own, entries)
			}
		}
		nodes := []string{"init", "lock", "alive"}
		for _, n := range nodes {
			r.sh(n, "echo "+n+" >/root/mine")
		}
		testenv.Must(t, "down", r.name)
		testenv.Must(t, "up", file, "--name", r.name)
		for _, n := range nodes {
			if got := r.sh(n, "cat /root/mine"); got != n {
				t.Errorf("%s has kept %q", n, got)
			}
			testenv.Must(t, "diff", r.name+"/"+n)
		}
		testenv.Must(t, "down", "--purge", r.name)
		if _, err := os.Lstat(filepath.Join(lab.KeepDir, r.name)); err == nil {
			t.Error("something is kept after down --purge")
		}
	})
}
