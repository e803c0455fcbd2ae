package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// tooMuch runs a command in a node that may be too much for the lab, tells its exit code, and removes what it has written.
func (r run) tooMuch(node, command string) string {
	r.t.Helper()
	out := strings.Fields(r.sh(node, command+" >/dev/null 2>&1; echo code $?; rm -f /dev/shm/file; [ "+node+" = a ] || rm -f /file"))
	return out[len(out)-1]
}

// What nodes have of memory is bounded for all of a lab together, files in memory included, whichever nodes have it. The lab goes on.
func TestMemoryOfALab(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "limits: {memory: 96MiB}\nnodes: {a: {}, b: {}, c: {limits: {pids: 100}}}\n")
		init, a := r.status().InitPID, r.node("a").PID
		r.sh("a", "dd if=/dev/zero of=/file bs=1M count=60 2>&1")
		for node, command := range map[string]string{
			"a": "dd if=/dev/zero of=/dev/shm/file bs=1M count=60",
			"b": "dd if=/dev/zero of=/file bs=1M count=60",
			"c": "tail /dev/zero",
		} {
			if got := r.tooMuch(node, command); got != "137" {
				t.Errorf("node %s, beyond the lab's memory: %s: %s", node, command, got)
			}
		}
		s := r.status()
		if m := s.Memory; m == nil || m.Limit != 96<<20 || m.Used > 96<<20 || m.Kills == 0 {
			t.Errorf("inspect says of the lab's memory %+v", s.Memory)
		}
		if got := testenv.Must(t, "inspect", r.name); !strings.Contains(got, "of 96 MiB for all nodes together, for which ") {
			t.Errorf("inspect says\n%s", got)
		}
		r.sh("a", "rm /file")
		r.sh("b", "dd if=/dev/zero of=/file bs=1M count=60 2>&1")
		if s := r.status(); s.InitPID != init || r.node("a").PID != a || s.State != "running" {
			t.Errorf("the lab's init was %d, a's %d, and they are %d and %d", init, a, s.InitPID, r.node("a").PID)
		}
	})
}

// A lab that says nothing may have three quarters of the machine's memory; a file says otherwise, and is obeyed in a lab that runs.
func TestMemoryOfALabChanges(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		text := func(limits string) string {
			return writeFile(t, t.TempDir(), "lab.yaml", limits+"nodes: {a: {}, b: {limits: {pids: 100}}}\n")
		}
		var machine unix.Sysinfo_t
		if err := unix.Sysinfo(&machine); err != nil {
			t.Fatal(err)
		}
		r := start(t, text(""))
		most := int64(uint64(machine.Totalram) * uint64(machine.Unit) / 4 * 3) //nolint:unconvert // 32 bits on some
		if m := r.status().Memory; m == nil || m.Limit > most || m.Limit < most/2 {
			t.Errorf("a lab that says nothing has %+v of the %d bytes", m, most)
		}
		pid := r.node("a").PID
		change := func(limits, says string) {
			t.Helper()
			if got := testenv.Must(t, "up", "--name", r.name, "--replace", text(limits)); !strings.Contains(got, says) {
				t.Errorf("%s: up says\n%s", limits, got)
			}
			if now := r.node("a").PID; now != pid {
				t.Errorf("%s: the node was started anew", limits)
			}
		}
		beyond := func() string { return r.tooMuch("a", "dd if=/dev/zero of=/dev/shm/file bs=1M count=100") }
		change("limits: {memory: 64MiB}\n", "three quarters of the machine's -> 64 MiB (in place)")
		if code := beyond(); code != "137" {
			t.Errorf("beyond a bound that was set in a lab that runs: exit code %s", code)
		}
		change("limits: {memory: max}\n", "64 MiB -> max (in place)")
		if m := r.status().Memory; m != nil {
			t.Errorf("a lab that may have all has %+v", m)
		}
		if code := beyond(); code != "0" {
			t.Errorf("in a lab that may have all: exit code %s", code)
		}
		change("limits: {memory: max}\n", "")
		// One that has come up without a group gets one with all that runs.
		testenv.Must(t, "down", r.name)
		r = start(t, text("limits: {memory: max}\n"))
		pid = r.node("a").PID
		change("limits: {memory: 64MiB}\n", "max -> 64 MiB (in place)")
		if code := beyond(); code != "137" {
			t.Errorf("beyond a bound that a lab has got late: exit code %s", code)
		}
	})
}

// Without control groups that it could write a lab comes up, and says that its memory is not bounded; one that names a bound does not.
func TestLabWithoutMemoryGroup(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		without := func(args ...string) testenv.Result {
			const script = `umount --recursive --lazy /sys/fs/cgroup && exec "$@"`
			return testenv.Command(t, append([]string{"unshare", "--mount", "sh", "-c", script, "sh", testenv.Binary(t)}, args...)...)
		}
		name := testenv.LabName(t)
		if got := without("up", "--name", name, writeFile(t, t.TempDir(), "lab.yaml", "nodes: {a: {}}\n")); got.Code != 0 {
			t.Fatalf("up: %+v", got)
		}
		atEnd(t, testenv.Binary(t), "down", name)
		if got := testenv.Must(t, "inspect", name); !strings.Contains(got, "memory    not bounded: ") {
			t.Errorf("inspect says\n%s", got)
		}
		file := writeFile(t, t.TempDir(), "lab.yaml", "limits: {memory: 1GiB}\nnodes: {a: {}}\n")
		if got := without("up", "--name", name+"-x", file); got.Code != 7 || !strings.Contains(got.Stderr, "memory") {
			t.Errorf("with a bound that cannot be: %+v", got)
		}
	})
}

// Where memory is short, a lab's init goes after those of its nodes: what one of them has goes with it, and not the lab.
func TestLabInitIsTheLastToGo(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "limits: {memory: 64MiB}\nnodes: {a: {}, b: {}}\n")
		init := r.status().InitPID
		score := func(pid int) string {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score", pid))
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(b))
		}
		if lab, node := score(init), score(r.node("a").PID); lab >= node && len(lab) >= len(node) {
			t.Errorf("the lab's init has a score of %s, a node's of %s", lab, node)
		}
		// Nobody but inits is left to go where files have all.
		r.exec("a", "sh", "-c", "dd if=/dev/zero of=/file bs=64k; dd if=/dev/zero of=/dev/shm/file bs=64k")
		for range 20 {
			r.exec("b", "true")
			r.exec("a", "true")
		}
		if s := r.status(); s.State != "running" || s.InitPID != init {
			t.Errorf("the lab is %s: %s", s.State, s.Reason)
		}
	})
}
