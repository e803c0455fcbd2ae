package e2e

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// An init that does not answer has done nothing of what it was told to: stop, restart and kill say so, and a node beside is stopped.
func TestInitThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {a: {command: [sleep, infinity]}, b: {command: [sleep, infinity]}}\n")
		pid := r.node("a").PID
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Kill(pid, unix.SIGCONT) }()
		for _, args := range [][]string{{"kill", r.name + "/a"}, {"kill", r.name}, {"stop", "--time", "0", r.name}, {"restart", "--time", "0", r.name + "/a"}} {
			got := testenv.Run(t, args...)
			if got.Code != 12 || !strings.Contains(got.Stderr, "node a: "+args[0]+": it cannot be killed: its init has not answered") || strings.Contains(got.Stderr, "node b") || strings.Contains(got.Stdout, "/a") {
				t.Errorf("%v: exit code %d, %s%s", args, got.Code, got.Stdout, got.Stderr)
			}
		}
		if err := unix.Kill(pid, unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
		// It does now what it was told last.
		testenv.Eventually(t, 10*time.Second, "a runs again", func() bool { return r.node("a").State == lab.StateRunning })
		testenv.Must(t, "restart", r.name+"/a")
		testenv.Must(t, "kill", r.name+"/a")
	})
}
