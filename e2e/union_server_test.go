package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A union whose server was killed answers nobody. ps, plan and restart say so, and up starts the node anew, no other.
func TestServerOfUnionIsKilled(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs")
		dir := garden(t)
		file := writeFile(t, dir, "lab.yaml", `
nodes:
  n:
    command: [sleep, infinity]
    unions: [{path: /mnt/u, layers: ["./fruits:rw", "./vegetables:rw"]}, {path: /mnt/o, layers: [./fruits]}]
  m: {unions: [{path: /mnt/u, storage: fuse, layers: [./fruits]}]}
`)
		r := start(t, file)
		plan := func(code int, want string) {
			t.Helper()
			if got := testenv.Run(t, "plan", file, "--name", r.name); got.Code != code || !strings.Contains(got.Stdout, want) {
				t.Errorf("plan: exit code %d, %s%s", got.Code, got.Stdout, got.Stderr)
			}
		}
		plan(0, "nothing to do")
		before := r.status()
		if err := unix.Kill(serverOf(t, "RW:/b1=RW"), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, 20*time.Second, "plan knows", func() bool {
			return testenv.Run(t, "plan", file, "--name", r.name).Code == 10
		})
		const why = "the server of its union /mnt/u has ended"
		plan(10, why)
		if got := testenv.Must(t, "ps", r.name, "--json"); !strings.Contains(got, why) {
			t.Errorf("ps: %s", got)
		}
		if got := testenv.Run(t, "restart", r.name+"/n"); got.Code == 0 || !strings.Contains(got.Stderr, why) || !strings.Contains(got.Stderr, "nsnet up") {
			t.Errorf("restart: %+v", got)
		}
		testenv.Must(t, "up", file, "--name", r.name)
		if got := r.sh("n", "echo -n mine >/mnt/u/carrots; cat /mnt/u/carrots"); got != "mine" {
			t.Errorf("the union has %q", got)
		}
		plan(0, "nothing to do")
		if now := r.status(); now.Nodes[0].PID == before.Nodes[0].PID || now.Nodes[1].PID != before.Nodes[1].PID {
			t.Errorf("inits were %d and %d, and are %d and %d", before.Nodes[0].PID, before.Nodes[1].PID, now.Nodes[0].PID, now.Nodes[1].PID)
		}
	})
}

// serverOf finds the mergerfs in the test's pid namespace that has a text in its arguments.
func serverOf(t *testing.T, text string) int {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		args, _ := os.ReadFile(name)
		if program, _, _ := strings.Cut(string(args), "\x00"); filepath.Base(program) == "mergerfs" && strings.Contains(string(args), text) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
				return pid
			}
		}
	}
	t.Fatalf("no mergerfs has %s", text)
	return 0
}
