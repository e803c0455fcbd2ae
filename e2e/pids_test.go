package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/container/nodeinit"
	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// bomb forks for as long as it can. A shell that cannot ends; what it has forked stays.
const bomb = "while :; do (while :; do sleep 300 & done) & done"

// A node whose processes have used up its limit goes on, and so does its neighbour.
func TestForkBomb(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes:
  a: {command: "`+bomb+`", limits: {pids: 64}}
  b: {}
links:
  - endpoints: ["a:eth0", "b:eth0"]
    addresses: [10.0.0.1/32, 10.0.0.2/32]
`)
		pids := func() uint64 { return r.usage("100ms")["a"].Pids }
		testenv.Eventually(t, 20*time.Second, "the bomb is stopped", func() bool {
			n := pids()
			return r.node("a").State == lab.StateExited && pids() == n
		})
		// What the shells leave free when they give up is taken, too.
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		full := make(chan testenv.Result, 80)
		testenv.Eventually(t, 20*time.Second, "the node is full", func() bool {
			go func() {
				c := r.command("a", "--", "sleep", "300")
				var out bytes.Buffer
				c.Stdout, c.Stderr = &out, &out
				if err := c.Start(); err != nil {
					return
				}
				defer context.AfterFunc(ctx, func() { _ = c.Process.Kill() })()
				_ = c.Wait() // its code is what counts
				full <- testenv.Result{Stderr: out.String(), Code: c.ProcessState.ExitCode()}
			}()
			select {
			case got := <-full:
				if got.Code != 125 || !strings.Contains(got.Stderr, "node a: run sleep: ") || !strings.Contains(got.Stderr, "has its 64 processes and threads") ||
					!strings.Contains(got.Stderr, "nsnet update "+r.name+"/a --pids") {
					t.Fatalf("exec in a full node: exit code %d, %s", got.Code, got.Stderr)
				}
				return true
			case <-time.After(50 * time.Millisecond):
				return false
			}
		})
		for range 20 {
			if got := r.exec("a", "true"); got.Code != 125 {
				t.Fatalf("exec in a full node: exit code %d, %s", got.Code, got.Stderr)
			}
		}
		if n := pids(); n != 64 {
			t.Errorf("%d processes and threads where 64 are allowed", n)
		}
		r.ping("b", "10.0.0.1") // the full node's network goes on, too
		testenv.Must(t, "update", "a", "--pids", "100")
		r.sh("a", "true")
		testenv.Must(t, "update", "a", "--pids", "64")
		r.refused("a", "true")
		if got := threads(t, r.node("a").PID); got < nodeinit.Threads {
			t.Errorf("the node's init has %d threads, not those %d that it makes at its start", got, nodeinit.Threads)
		}
		stop() // the clients are gone, and with them their commands
		testenv.Eventually(t, 10*time.Second, "there is room again", func() bool { return r.exec("a", "true").Code == 0 })
		if n := r.node("a"); n.State == lab.StateDead || n.PID == 0 {
			t.Errorf("the node's init has ended: %+v", n)
		}
	})
}

// A node in which nothing has run yet is not lost either when there is no room for its init's threads.
func TestNoRoomForInit(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {a: {limits: {pids: 64}}}")
		limit := filepath.Join(cgroupDir(t, "pids"), "nsnet", r.name, "pids.max")
		write := func(s string) {
			if err := os.WriteFile(limit, []byte(s), 0); err != nil {
				t.Fatal(err)
			}
		}
		write("3") // of the whole lab
		for range 3 {
			if got := r.exec("a", "true"); got.Code != 125 || !strings.Contains(got.Stderr, "processes") {
				t.Fatalf("exit code %d, %s", got.Code, got.Stderr)
			}
		}
		if n := r.node("a"); n.State != lab.StateIdle {
			t.Errorf("the node is %s", n.State)
		}
		write("max")
		r.sh("a", "true")
		if got := threads(t, r.node("a").PID); got < nodeinit.Threads {
			t.Errorf("the node's init has made %d threads at its start, not %d", got, nodeinit.Threads)
		}
	})
}

// threads counts a process's.
func threads(t *testing.T, pid int) int {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

// cgroupDir is where the hierarchy of a controller is mounted.
func cgroupDir(t *testing.T, controller string) string {
	t.Helper()
	v1 := "/sys/fs/cgroup/" + controller
	if _, err := os.Stat(v1); err == nil {
		return v1
	}
	return "/sys/fs/cgroup"
}
