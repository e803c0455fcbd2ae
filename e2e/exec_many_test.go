package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// TestExecInManyNodes runs commands in more nodes than run at once: each line is whole and named, and
// one exit code says how it went.
func TestExecInManyNodes(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		text := "nodes:\n  odd: {}\n"
		for i := range 80 {
			text += fmt.Sprintf("  n%d: {}\n", i)
		}
		r := startText(t, text)
		got := testenv.Run(t, "exec", r.name+"/n*", "--", "sh", "-c", "seq 200; echo err >&2")
		if got.Code != 0 {
			t.Fatalf("%+v", got)
		}
		lines := map[string]int{}
		for line := range strings.Lines(got.Stdout) {
			lines[line]++
		}
		if len(lines) != 80*200 || strings.Count(got.Stderr, " | err\n") != 80 {
			t.Errorf("%d different lines, %d of them on standard error", len(lines), strings.Count(got.Stderr, " | err\n"))
		}
		for i := range 80 {
			for n := range 200 {
				if line := fmt.Sprintf("%-3s | %d\n", fmt.Sprint("n", i), n+1); lines[line] != 1 {
					t.Fatalf("%q is there %d times", line, lines[line])
				}
			}
		}
		got = testenv.Run(t, "exec", "--all", r.name, "--", "sh", "-c", "test $(hostname) != n7 || exit 7; test $(hostname) != odd || exit 9")
		if got.Code != 9 || !strings.Contains(got.Stderr, "odd: exit code 9\n") || !strings.Contains(got.Stderr, "n7: exit code 7\n") {
			t.Errorf("exit code %d, %s", got.Code, got.Stderr)
		}
		if got := testenv.Run(t, "exec", "--all", r.name+"/odd", "--", "true"); got.Code != 125 || !strings.Contains(got.Stderr, "--all is for a LAB") {
			t.Errorf("all of one node: %+v", got)
		}
		if got := testenv.Run(t, "exec", r.name+"/x*", "--", "true"); got.Code != 125 {
			t.Errorf("a pattern of no node: exit code %d", got.Code)
		}
	})
}
