package e2e

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Another file of a running lab's name does not take the lab over by accident.
func TestAnotherFileOfTheName(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		mine := writeFile(t, t.TempDir(), "lab.yaml", "nodes: {a: {command: [sleep, infinity]}, b: {}}\n")
		r := start(t, mine)
		pid := r.node("a").CommandPID
		name := "name: " + r.name + "\n"
		other := writeFile(t, t.TempDir(), "other.yaml", name+"nodes: {a: {command: [sleep, \"1000\"]}, c: {}}\n")
		for _, args := range [][]string{{"up", other}, {"plan", other}, {"up", "--dry-run", other}} {
			if got := testenv.Run(t, args...); got.Code != 5 || !strings.Contains(got.Stderr, mine) || !strings.Contains(got.Stderr, "--replace") {
				t.Errorf("%v: %+v", args, got)
			}
		}
		if got := r.node("a").CommandPID; got != pid {
			t.Error("its command was started anew")
		}
		// The same file, whatever is in it, and one that has a node in common, are its next version.
		shares := writeFile(t, t.TempDir(), "moved.yaml", name+"nodes: {a: {command: [sleep, infinity]}, c: {}}\n")
		testenv.Must(t, "up", shares)
		if got := r.node("a").CommandPID; got != pid {
			t.Error("the command that both have was started anew")
		}
		if got := testenv.Run(t, "plan", "--replace", other); got.Code != 10 {
			t.Errorf("plan --replace: %+v", got)
		}
		testenv.Must(t, "up", "--replace", other)
		if got := r.node("a").CommandPID; got == pid {
			t.Error("the command is the old one")
		}
	})
}
