package faults

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// One change takes back what another has made, whatever that has left behind. Each of these once failed.
func TestChangeAfterChange(t *testing.T) {
	t.Parallel()
	for _, names := range [][2]string{
		{"turn IPv6 off of an interface", "an MTU too small for IPv6"}, // which takes the interface's sysctls of IPv6
	} {
		t.Run(strings.ReplaceAll(strings.Join(names[:], ", then "), " ", "-"), func(t *testing.T) {
			t.Parallel()
			testenv.Isolate(t, func(t *testing.T) {
				r := start(t, base)
				text := strings.ReplaceAll(base, "NAME", r.name)
				for _, name := range names {
					i := slices.IndexFunc(changes(), func(c change) bool { return c.name == name })
					if i < 0 {
						t.Fatalf("there is no change %q", name)
					}
					writeFile(t, r.file, changes()[i].in(t, text))
					testenv.Must(t, "up", r.file)
					plans(t, r.file, 0)
				}
				got := r.picture()
				testenv.Must(t, "down", r.name)
				testenv.Must(t, "up", r.file)
				if want := r.picture(); got != want {
					t.Errorf("made at once it is otherwise:\n%s", diff(want, got))
				}
			})
		})
	}
}

// FAULTS 3: a change that is killed at any moment is finished by the same command, and down leaves nothing.
func TestChangeKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	const kills = 40
	testenv.Isolate(t, func(t *testing.T) {
		rnd := testenv.Random(t)
		before := snapshot(t)
		r := define(t, base)
		text := strings.ReplaceAll(base, "NAME", r.name)
		all := changes()
		want := map[string]string{} // pictures of labs that were made so from the start
		for range kills {
			a, b := all[rnd.IntN(len(all))], all[rnd.IntN(len(all))]
			writeFile(t, r.file, text)
			testenv.Must(t, "up", r.file)
			for _, e := range []change{a, b} { // the second on top of what the first has left
				writeFile(t, r.file, e.in(t, text))
				p := launch(t, "up", r.file)
				time.Sleep(time.Duration(rnd.Int64N(int64(40 * time.Millisecond))))
				_ = p.Process.Kill()
				_ = p.end(t)
			}
			res := testenv.Run(t, "up", r.file)
			if res.Code != 0 {
				t.Fatalf("%s, then %s, both killed, then up: exit code %d\n%s%s", a.name, b.name, res.Code, res.Stdout, res.Stderr)
			}
			plans(t, r.file, 0)
			got := r.picture()
			testenv.Must(t, "down", r.name)
			if want[b.name] == "" {
				testenv.Must(t, "up", r.file)
				want[b.name] = r.picture()
				testenv.Must(t, "down", r.name)
			}
			if got != want[b.name] {
				t.Fatalf("%s, then %s, both killed, then up; made at once it is otherwise:\n%s", a.name, b.name, diff(want[b.name], got))
			}
		}
		nothingLeft(t, before, "changes were killed")
	})
}
