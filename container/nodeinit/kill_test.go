package nodeinit

import (
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]one{
		"7 (sleep) S 1 6 5 0 -1 4194304": {7, 1, 5},
		"12 (a) b (c) R 3 4 12 34816 12": {12, 3, 12},
		"9 ()) Z 1 9 9":                  {9, 1, 9},
	} {
		if got, ok := parseStat([]byte(text)); !ok || got != want {
			t.Errorf("%q is %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "7", "7 (a", "7 (a)", "7 (a) S", "7 (a) S 1 2", "x (a) S 1 2 3 4"} {
		if got, ok := parseStat([]byte(text)); ok {
			t.Errorf("%q is %+v", text, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) { parseStat(rapid.SliceOf(rapid.Byte()).Draw(t, "stat")) })
}

func TestProcesses(t *testing.T) {
	t.Parallel()
	session, err := unix.Getsid(0)
	if err != nil {
		t.Fatal(err)
	}
	if all := processes(); !slices.Contains(all, one{os.Getpid(), os.Getppid(), session}) {
		t.Errorf("%+v is not among %+v", one{os.Getpid(), os.Getppid(), session}, all)
	}
}

func TestOfCommand(t *testing.T) {
	t.Parallel()
	all := []one{
		{2, 1, 2}, {3, 2, 2}, {4, 3, 4}, // the command, its child, and a session of that one's
		{10, 1, 10}, {11, 10, 10}, {12, 11, 12}, // an exec, its child, and a session of that one's
		{20, 1, 2},  // an orphan of the command's session
		{21, 1, 30}, // an orphan of an exec that has ended
		{22, 1, 22}, // a daemon of whomever
		{23, 22, 22},
	}
	got := ofCommand(all, map[int]bool{10: true}, map[int]bool{10: true, 30: true})
	if want := []int{2, 3, 4, 20, 22, 23}; !slices.Equal(got, want) {
		t.Errorf("%v belong to the command, not %v", got, want)
	}
}

// Whatever /proc shows, circles that come from looking while processes end included: an answer comes, each process
// is in it or not, and what descends from an exec is not.
func TestOfCommandAnyTree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "n")
		pid := rapid.IntRange(1, n+1)
		var all []one
		execs := map[int]bool{}
		for i := range n {
			all = append(all, one{i + 2, pid.Draw(t, "parent"), pid.Draw(t, "session")})
			if rapid.Bool().Draw(t, "exec") {
				execs[i+2] = true
			}
		}
		got := ofCommand(all, execs, execs)
		for _, p := range all {
			foreign := execs[p.pid] || execs[p.parent] || execs[p.session]
			if foreign && slices.Contains(got, p.pid) {
				t.Fatalf("%+v of %v with execs %v is the command's", p, all, execs)
			}
		}
		if len(execs) == 0 && len(got) != n {
			t.Fatalf("%d of %d processes are the command's where there is no other", len(got), n)
		}
	})
}
