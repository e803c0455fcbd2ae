package faults

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// FAULTS 2: a lab hangs on its init.
func TestFault02_LabInitKilled(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := define(t, mixed(50))
		before := snapshot(t)
		testenv.Must(t, "up", r.file)
		kill(t, r.status().InitPID)
		since := time.Now()
		nothingLeft(t, before, "init killed", onNextCommand()...)
		t.Logf("50 nodes gone %s after the kill, as far as a look takes", time.Since(since))
		s := r.status()
		if s.State != lab.StateDead || s.InitPID != 0 || s.Reason == "" || s.Nodes[7].State != lab.StateDead {
			t.Errorf("ps says %s, pid %d, reason %q, node %s", s.State, s.InitPID, s.Reason, s.Nodes[7].State)
		}
		nothingLeft(t, before, "after ps")

		testenv.Must(t, "up", r.file)
		kill(t, r.status().InitPID)
		testenv.Must(t, "up", r.file) // at once, over what is left
		r.sh("n0", "ping -n -c 1 -W 1 n1")
		kill(t, r.status().InitPID)
		nothingLeft(t, before, "init killed", onNextCommand()...)
		fails(t, r.exec("n0", "true"), 125, r.name, "not running")
		nothingLeft(t, before, "after exec")

		testenv.Must(t, "up", r.file)
		kill(t, r.status().InitPID)
		testenv.Must(t, "down", r.name)
		nothingLeft(t, before, "down of a dead lab")
	})
}

// What down does not need.
func TestDownOfWhatIsDamaged(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		before := snapshot(t)
		// Without nat: what forwarding was before is written in the record only.
		r := define(t, strings.ReplaceAll(mixed(5), ", nat: true", ""))
		dir := "/run/nsnet/" + r.name + "/"
		for name, damage := range map[string]func(){
			"nothing":          func() {},
			"no state":         func() { remove(t, dir+"state.json") },
			"no topology":      func() { remove(t, dir+"topology.json") },
			"neither":          func() { remove(t, dir+"state.json"); remove(t, dir+"topology.json") },
			"truncated state":  func() { writeFile(t, dir+"state.json", `{"schema":1,`) },
			"no file":          func() { remove(t, r.file) },
			"no life lock":     func() { remove(t, dir+"alive") },
			"no record":        func() { testenv.MustCommand(t, "rm", "-r", dir) },
			"no record of any": func() { testenv.MustCommand(t, "rm", "-r", "/run/nsnet") },
		} {
			for _, dead := range []bool{false, true} {
				writeFile(t, r.file, strings.ReplaceAll(strings.ReplaceAll(mixed(5), ", nat: true", ""), "NAME", r.name))
				testenv.Must(t, "up", r.file)
				pid := r.status().InitPID
				damage()
				if dead {
					kill(t, pid)
				}
				testenv.Must(t, "down", r.name)
				nothingLeft(t, before, "down with "+name)
			}
		}
		testenv.Must(t, "down", r.name)
		testenv.Must(t, "down", "nobody-made-this")
		testenv.Must(t, "down", "--all")
		nothingLeft(t, before, "down of nothing")
	})
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestFault02_NodeInitKilled(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, mixed(5))
		kill(t, r.node("n1").PID)
		testenv.Eventually(t, 2*time.Second, "ps shows the node dead", func() bool {
			return r.node("n1").State == lab.StateDead
		})
		n := r.node("n1")
		if n.PID != 0 || n.Reason == "" {
			t.Errorf("the dead node is shown as %+v", n)
		}
		for _, name := range []string{"n0", "n2", "n3", "n4"} {
			if got := r.node(name).State; got != lab.StateIdle {
				t.Errorf("node %s is %s", name, got)
			}
		}
		r.sh("n2", "ping -n -c 1 -W 1 n3 -I q2 || ping -n -c 1 -W 1 10.83.3.2")
		fails(t, r.exec("n1", "true"), 125, "dead")
		fails(t, testenv.Run(t, "pause", r.name+"/n1"), 9, "its init has ended", "nsnet up")
	})
}
