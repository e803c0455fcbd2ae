package e2e

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// pausable is a lab with a node that writes the time it sees, one with limits, and an idle one.
const pausable = `
nodes:
  pinger: {command: "ping -n -i 0.05 10.3.0.2"}
  limited: {limits: {memory: 64MiB, pids: 64}, command: [sleep, infinity]}
  idle: {}
bridges: {lan0: {subnet: 10.3.0.0/24}}
links:
  - endpoints: ["pinger:eth0", "lan0"]
  - endpoints: ["limited:eth0", "lan0"]
  - endpoints: ["idle:eth0", "lan0"]
`

// replies is how many echo replies a node's ping has printed.
func (r run) replies(node string) int {
	r.t.Helper()
	return strings.Count(testenv.Must(r.t, "logs", r.name+"/"+node), "bytes from")
}

func (r run) goesOn(node string) {
	r.t.Helper()
	before := r.replies(node)
	testenv.Eventually(r.t, 5*time.Second, node+" goes on", func() bool { return r.replies(node) > before+2 })
}

// standsStill fails the test when a node's ping sends anything in a time in which it would six times.
func (r run) standsStill(node string) {
	r.t.Helper()
	before := r.replies(node)
	time.Sleep(300 * time.Millisecond)
	if now := r.replies(node); now != before {
		r.t.Errorf("%s: %d replies after %d when paused", node, now, before)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, pausable)
		r.goesOn("pinger")
		for range 2 {
			if got, want := testenv.Must(t, "pause", r.name+"/pinger"), r.name+"/pinger is paused\n"; got != want {
				t.Errorf("pause printed %q, not %q", got, want)
			}
		}
		r.standsStill("pinger")
		if got := r.node("pinger"); got.State != lab.StatePaused {
			t.Errorf("a paused node is %s", got.State)
		}
		begin := time.Now()
		refused := r.exec("pinger", "true")
		if refused.Code != 125 || !strings.Contains(refused.Stderr, "nsnet resume "+r.name+"/pinger") || time.Since(begin) > 2*time.Second {
			t.Errorf("exec into a paused node: exit code %d after %v, %s", refused.Code, time.Since(begin), refused.Stderr)
		}
		r.ping("idle", "10.3.0.1") // its network stack is the kernel's
		if got, want := testenv.Must(t, "resume", "pinger"), r.name+"/pinger is resumed\n"; got != want {
			t.Errorf("resume printed %q, not %q", got, want)
		}
		r.goesOn("pinger")
		if got := r.node("pinger"); got.State != lab.StateRunning {
			t.Errorf("a resumed node is %s", got.State)
		}
		r.sh("pinger", "true")
		if got := testenv.Must(t, "resume", r.name); got != r.name+" is not paused, nothing to do\n" {
			t.Errorf("resume of what is not paused printed %q", got)
		}
	})
}

// TestPauseLab also takes down what is paused: a process frozen in a version 1 group does not die.
func TestPauseLab(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, pausable)
		r.goesOn("pinger")
		var res lab.PauseResult
		if err := json.Unmarshal([]byte(testenv.Must(t, "pause", "--json", r.name)), &res); err != nil {
			t.Fatal(err)
		}
		if res.Name != r.name || res.State != lab.StatePaused || strings.Join(res.Nodes, " ") != "pinger limited idle" {
			t.Errorf("pause printed %+v", res)
		}
		r.standsStill("pinger")
		for _, n := range r.status().Nodes {
			if n.State != lab.StatePaused {
				t.Errorf("%s is %s", n.Name, n.State)
			}
		}
		if got := testenv.Must(t, "resume", r.name+"/idle"); got != r.name+"/idle is resumed\n" {
			t.Errorf("resume printed %q", got)
		}
		r.sh("idle", "true")
		r.standsStill("pinger")
		begin := time.Now()
		testenv.Must(t, "down", r.name)
		if d := time.Since(begin); d > 3*time.Second {
			t.Errorf("down of a paused lab took %v", d)
		}
	})
}

// TestKilledWhilePaused: a lab whose init was killed while its nodes were frozen is cleared like any other.
func TestKilledWhilePaused(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, pausable)
		testenv.Must(t, "pause", r.name)
		pid := r.status().InitPID
		testenv.MustCommand(t, "kill", "-9", strconv.Itoa(pid))
		testenv.Eventually(t, 5*time.Second, "the lab is gone", func() bool {
			return testenv.Must(t, "ps", "-q") == "" && testenv.Run(t, "inspect", r.name).Code == 4
		})
	})
}

// One signal ends exec whose node cannot hear of it, and what it ran is gone once the node goes on.
func TestSignalOfExecInPausedNode(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
			cmd := r.command(r.name+"/n", "--", "sh", "-c", "trap '' INT TERM HUP; echo go; exec sleep 4242")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			testenv.Must(t, "pause", r.name)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if code := ends(t, sig.String()+" of exec in a paused node", cmd); code != 128+int(sig) {
				t.Errorf("%v makes the exit code %d", sig, code)
			}
			testenv.Must(t, "resume", r.name)
			testenv.Eventually(t, patience, "nothing of it is left", func() bool { return r.exec("n", "pgrep", "-x", "sleep").Code == 1 })
		}
	})
}

// A paused node is waited for: it becomes ready when it is resumed.
func TestWaitForPaused(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {command: [sleep, infinity]}, idle: {}}")
		wait := func(args ...string) {
			t.Helper()
			if got := testenv.Run(t, append(args, "--timeout", "100ms")...); got.Code != 11 || !strings.Contains(got.Stderr, "node n") || !strings.Contains(got.Stderr, "it is paused") {
				t.Errorf("%q: %+v", args, got)
			}
		}
		testenv.Must(t, "pause", r.name+"/n")
		wait("wait", r.name)
		wait("wait", r.name+"/n", "--exit")
		testenv.Must(t, "wait", r.name+"/idle")
		done := make(chan testenv.Result, 1)
		go func() { done <- testenv.Run(t, "wait", r.name) }()
		testenv.Must(t, "resume", r.name)
		if got := <-done; got.Code != 0 {
			t.Errorf("wait for a node that is resumed: %+v", got)
		}
	})
}

// A paused node whose init was killed is dead, though a process frozen in a version 1 group does not die. It is started anew as any dead one, and up
// removes a paused node as any other.
func TestChangeOfPausedNodes(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		both := writeFile(t, dir, "both.yaml", "nodes: {n: {command: [sleep, infinity]}, other: {}}")
		one := writeFile(t, dir, "one.yaml", "nodes: {other: {}}")
		r := startAs(t, name, both)
		testenv.Must(t, "pause", name+"/n")
		r.kill("n")
		if got := testenv.Run(t, "plan", both, "--name", name); !strings.Contains(got.Stdout, "its init has ended") {
			t.Errorf("plan says %+v", got)
		}
		testenv.Must(t, "up", both, "--name", name)
		if got := r.node("n"); got.State != lab.StateRunning {
			t.Errorf("the node is %+v", got)
		}
		r.sh("n", "true")
		testenv.Must(t, "pause", name)
		testenv.Must(t, "up", one, "--name", name)
		if got := r.status().Nodes; len(got) != 1 || got[0].State != lab.StatePaused {
			t.Errorf("the nodes are %+v", got)
		}
	})
}

func TestPauseIsRefused(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {a: {}}")
		for _, command := range []string{"pause", "resume"} {
			for ref, code := range map[string]int{r.name + "x": 4, r.name + "/b": 4, "nolab/a": 4} {
				if got := testenv.Run(t, command, ref); got.Code != code || got.Stdout != "" {
					t.Errorf("%s %s: exit code %d, %s%s", command, ref, got.Code, got.Stdout, got.Stderr)
				}
			}
		}
	})
}
