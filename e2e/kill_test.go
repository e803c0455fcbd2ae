package e2e

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// TestKillAndWait holds what a signal does to a command and its policy, and what is waited for.
func TestKillAndWait(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes:
  idle: {}
  again: {command: "trap 'echo hup >>/tmp/said' HUP; echo up; while :; do sleep 0.05; done", restart: always, ready: {log: ^up}}
  once: {command: "trap 'echo term; exit 7' TERM; echo up; while :; do sleep 0.05; done", ready: {log: ^up}}
  lost: {command: sleep infinity, depends_on: {fails: {condition: exited}}}
  fails: {command: exit 1, ready: {tcp: 1}}
`)
		must := func(want string, args ...string) {
			t.Helper()
			if got := testenv.Run(t, args...); got.Code != 0 || got.Stdout != want {
				t.Errorf("%q: exit code %d, %q, not %q; %s", args, got.Code, got.Stdout, want, got.Stderr)
			}
		}
		refused := func(code int, text string, args ...string) {
			t.Helper()
			if got := testenv.Run(t, args...); got.Code != code || !strings.Contains(got.Stderr, text) {
				t.Errorf("%q: exit code %d, not %d; %s", args, got.Code, code, got.Stderr)
			}
		}
		name := r.name + "/"
		must("", "wait", name+"again")
		must("", "wait", name+"once", "--timeout", "20s")
		must("", "wait", name+"idle")

		// A command that goes on, one that ends by it and is started again, one that is not.
		pid := r.node("again").CommandPID
		must("SIGHUP is sent to "+name+"again\n", "kill", name+"again", "-s", "hup")
		r.sh("again", "until grep -q hup /tmp/said; do sleep 0.05; done")
		if got := r.node("again").CommandPID; got != pid {
			t.Errorf("the command was %d and is %d", pid, got)
		}
		must("SIGKILL is sent to "+name+"again\n", "kill", name+"again")
		r.until("again", "running")
		must("SIGTERM is sent to "+name+"once\n", "kill", name+"once", "--signal", "15")
		must("7\n", "wait", name+"once", "--exit")
		refused(9, "no command that runs", "kill", name+"once")
		refused(9, "no command that runs", "kill", name+"idle")
		refused(2, "is no signal", "kill", name+"idle", "-s", "FOO")

		refused(9, "node idle: wait: there is no command", "wait", name+"idle", "--exit")
		refused(11, "not ended after 100ms", "wait", name+"again", "--exit", "--timeout", "100ms")
		refused(11, "node lost has not ended: it waits for node fails", "wait", name+"lost", "--exit")
		refused(11, "node lost is not ready", "wait", name+"lost")
		refused(4, "", "wait", name+"nobody")

		if got := testenv.Run(t, "start", name+"once", "--wait"); got.Code != 0 {
			t.Errorf("start --wait: %+v", got)
		}
		if n := r.node("once"); n.Ready != "ready" {
			t.Errorf("start --wait has returned and the node is %s", n.Ready)
		}
		refused(11, "node fails is not ready: its command has ended with exit code 1", "restart", name+"fails", "--wait", "--wait-timeout", "20s")
		must("", "wait", name+"again")
		must("SIGKILL is sent to 2 nodes of "+r.name+"\n", "kill", r.name)
	})
}
