package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// endsOnSignal runs nsnet, which is to wait for what some process does not do, until it has said so, as want; then
// a signal is to end it.
func endsOnSignal(t *testing.T, want string, sig syscall.Signal, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testenv.Binary(t), args...)
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(errs)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), want) {
			_ = cmd.Process.Signal(sig)
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	code := 0
	if errors.As(err, &exit) {
		if code = exit.ExitCode(); exit.Sys().(syscall.WaitStatus).Signaled() {
			code = 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
		}
	}
	if code != 128+int(sig) || !strings.Contains(said.String(), want) {
		t.Errorf("nsnet %s: exit code %d, want %d, and %q in:\n%s", strings.Join(args, " "), code, 128+int(sig), want, said.String())
	}
}

// stopped stops a process and lets it go on at the end.
func stopped(t *testing.T, pid int) (text string) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("pid %d, which is stopped (kill -CONT %d lets it go on)", pid, pid)
}

const stoppable = `
nodes:
  a: {command: [sleep, infinity]}
  b: {}
`

// A node's init that was stopped keeps nobody waiting without a word, and nobody who does not want to wait any more.
func TestStoppedNodeInit(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, stoppable)
		pid := r.node("a").PID
		node := r.name + "/a"
		want := "waiting for the init of node " + node + ", " + stopped(t, pid)
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
		for i, args := range [][]string{
			{"exec", node, "true"},
			{"exec", "--all", r.name, "true"},
			{"cp", file, node + ":/tmp/x"},
			{"cp", node + ":/etc/hosts", file},
			{"wait", node, "--exit"},
			{"stop", node},
			{"start", node},
		} {
			endsOnSignal(t, want, []syscall.Signal{unix.SIGTERM, unix.SIGINT}[i%2], args...)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != "text" {
			t.Errorf("a copy that was broken off has changed its destination: %q, %v", b, err)
		}
		testenv.Must(t, "ps", r.name)
		if err := unix.Kill(pid, unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
		r.until("a", lab.StateRunning)
	})
}

// So it is with a lab's init; and a look at all labs shows the others. down needs it no more than any.
func TestStoppedLabInit(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		file := writeFile(t, t.TempDir(), "lab.yaml", stoppable)
		r, other := start(t, file), startAs(t, testenv.LabName(t)+"other", file)
		pid := r.status().InitPID
		is := stopped(t, pid)
		node, want := r.name+"/a", "waiting for lab "+r.name+"'s init, "+is

		ps := testenv.Must(t, "ps", "--json")
		var all struct{ Labs []lab.Status }
		if err := json.Unmarshal([]byte(ps), &all); err != nil {
			t.Fatal(err)
		}
		states := map[string]string{}
		for _, l := range all.Labs {
			states[l.Name] = l.State + ", " + l.Nodes[0].State
		}
		if states[r.name] != "not answering, not answering" || states[other.name] != "running, running" {
			t.Errorf("ps: %v", states)
		}
		if text := testenv.Must(t, "ps"); !strings.Contains(text, "its init does not answer: it is "+is) {
			t.Errorf("ps printed\n%s", text)
		}
		if text := testenv.Must(t, "inspect", r.name); !strings.Contains(text, "not answering") {
			t.Errorf("inspect printed\n%s", text)
		}
		stats := testenv.Run(t, "stats", "--no-stream", "--interval", "100ms")
		if stats.Code != 0 || !strings.Contains(stats.Stdout, other.name) || !strings.Contains(stats.Stdout, "its init does not answer: it is "+is) {
			t.Errorf("stats of all labs: exit code %d\n%s%s", stats.Code, stats.Stdout, stats.Stderr)
		}
		if stats = testenv.Run(t, "stats", r.name, "--json", "--interval", "100ms"); stats.Code != 1 || !strings.Contains(stats.Stdout, "not_answering") {
			t.Errorf("stats of the lab: exit code %d\n%s%s", stats.Code, stats.Stdout, stats.Stderr)
		}
		copied := filepath.Join(t.TempDir(), "file")
		for i, args := range [][]string{
			{"exec", node, "true"},
			{"exec", "-w", "/", "--user=0", node, "true"}, // not early
			{"cp", node + ":/etc/hosts", copied},
			{"plan", file, "--name", r.name},
			{"up", file, "--name", r.name},
			{"wait", r.name},
			{"kill", node},
			{"restart", node},
			{"pause", node},
			{"update", node, "--pids", "100"},
			{"diff", node},
			{"attach", "--node", node, "--ip", "10.9.9.1/32", "--peer-ip", "10.9.9.2/32"},
		} {
			endsOnSignal(t, want, []syscall.Signal{unix.SIGTERM, unix.SIGINT}[i%2], args...)
		}
		if _, err := os.Stat(copied); err == nil {
			t.Error("a copy that was broken off has left a file")
		}
		testenv.Must(t, "down", r.name)
	})
}

// Who holds a lock that others wait for is named, and they end when they are told to, and leave nothing.
func TestStoppedLockHolder(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "flock")
		file := writeFile(t, t.TempDir(), "lab.yaml", stoppable)
		r := start(t, file)
		node, other := r.name+"/a", r.name+"other"
		for _, of := range []struct {
			dir, whose string
			commands   [][]string
		}{
			{lab.RunDir + "/.", "the lock that all labs of this host share", [][]string{
				{"up", file, "--name", other}, {"attach", "--node", node, "--ip", "10.9.9.1/32", "--peer-ip", "10.9.9.2/32"}, {"detach", "--node", node, "--all"}}},
			{filepath.Join(lab.RunDir, r.name) + "/", "lab " + r.name + "'s lock", [][]string{
				{"up", file, "--name", r.name}, {"down", r.name}, {"stop", node}, {"pause", r.name}}},
		} {
			holder := exec.CommandContext(t.Context(), "flock", "--no-fork", of.dir+"lock", "sleep", "infinity")
			if err := holder.Start(); err != nil {
				t.Fatal(err)
			}
			testenv.Eventually(t, 10*time.Second, "the lock is taken", func() bool {
				name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", holder.Process.Pid))
				return err == nil && string(name) == "sleep\n"
			})
			want := fmt.Sprintf("waiting for %s, which is held by \"sleep infinity\", %s", of.whose, stopped(t, holder.Process.Pid))
			for i, args := range of.commands {
				endsOnSignal(t, want, []syscall.Signal{unix.SIGTERM, unix.SIGINT}[i%2], args...)
			}
			testenv.Must(t, "ps")
			_ = holder.Process.Kill()
			_ = holder.Wait()
		}
		if ps := testenv.Must(t, "ps"); strings.Contains(ps, other) {
			t.Errorf("what was broken off is there:\n%s", ps)
		}
		if _, err := os.Stat(filepath.Join(lab.RunDir, other)); err == nil {
			t.Error("the record of what was broken off is there")
		}
	})
}
