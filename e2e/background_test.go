package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A command that goes into the background, as the start script of a daemon does, becomes ready by its
// check, and so does who depends on it; when the last that it has left ends, it is not ready any more.
func TestReadyInTheBackground(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name := testenv.LabName(t)
		file := writeFile(t, t.TempDir(), "lab.yaml", `
nodes:
  daemon: {command: "(sleep 0.3; touch /tmp/up; exec setsid sleep infinity) & exit 0", ready: {exec: test -e /tmp/up}}
  log: {command: "(sleep 0.3; echo it is up; exec sleep infinity) & exit 0", ready: {log: is up}}
  user: {command: sleep infinity, depends_on: {daemon: {condition: ready}, log: {condition: ready}}}
`)
		testenv.Must(t, "up", "--name", name, file, "--wait")
		atEnd(t, testenv.Binary(t), "down", name)
		state := func(node string) string { return strings.Fields(row(t, testenv.Must(t, "ps", name), node))[2] }
		for node, want := range map[string]string{"daemon": "exited(0,ready)", "log": "exited(0,ready)", "user": "running"} {
			if got := state(node); got != want {
				t.Errorf("%s is %s", node, got)
			}
		}
		testenv.Must(t, "exec", name+"/daemon", "--", "sh", "-c", "until kill $(pidof sleep); do sleep 0.02; done")
		testenv.Eventually(t, 5*time.Second, "what has left nothing is not ready", func() bool { return state("daemon") == "exited(0)" })
		// A check that is new in the file looks at what was left before.
		writeFile(t, strings.TrimSuffix(file, "/lab.yaml"), "lab.yaml", `
nodes:
  daemon: {command: "(sleep 0.3; touch /tmp/up; exec setsid sleep infinity) & exit 0", ready: {exec: test -e /tmp/up}}
  log: {command: "(sleep 0.3; echo it is up; exec sleep infinity) & exit 0", ready: {exec: "true"}}
  user: {command: sleep infinity, depends_on: {daemon: {condition: ready}, log: {condition: ready}}}
`)
		testenv.Run(t, "up", "--name", name, file)
		testenv.Eventually(t, 5*time.Second, "the new check passes", func() bool { return state("log") == "exited(0,ready)" })
		got := testenv.Run(t, "up", "--name", name, file, "--wait")
		if text := "node daemon is not ready: its command has ended before it was ready"; got.Code != 11 || !strings.Contains(got.Stderr, text) {
			t.Errorf("after the daemon has ended: %+v", got)
		}
		testenv.Must(t, "stop", name+"/log")
		if got := testenv.Must(t, "exec", name+"/log", "--", "sh", "-c", "pidof sleep || true"); strings.TrimSpace(got) != "" {
			t.Errorf("stop has left %s", got)
		}
	})
}
