package worker

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestActsRoundTrip(t *testing.T) {
	t.Parallel()
	step := rapid.Custom(func(t *rapid.T) Step {
		return Step{Kind(rapid.Uint64Range(1, 4).Draw(t, "kind")), rapid.IntRange(0, 1<<20).Draw(t, "fd"), rapid.String().Draw(t, "path"), rapid.SliceOf(rapid.Byte()).Draw(t, "data")}
	})
	rapid.Check(t, func(t *rapid.T) {
		var acts []Act
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			a := Act{Do: step.Draw(t, "do")}
			if n := rapid.IntRange(0, 3).Draw(t, "undo"); n > 0 {
				a.Undo = rapid.SliceOfN(step, n, n).Draw(t, "steps")
			}
			acts = append(acts, a)
		}
		b := Encode(acts)
		got, ok := decode(b)
		if !ok || !reflect.DeepEqual(got, acts) {
			t.Fatalf("got %+v, %v; want %+v", got, ok, acts)
		}
		if cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut"); cut > 0 {
			if _, ok := decode(b[:cut]); ok {
				t.Fatalf("%d of %d bytes are taken for all", cut, len(b))
			}
		}
	})
}

func TestOutcomeRoundTrip(t *testing.T) {
	t.Parallel()
	for _, o := range []Outcome{{}, {Act: 3, Request: 2, Errno: 17, Detail: "device exists", Undone: true}} {
		b := o.encode()
		if got, ok := DecodeOutcome(b); !ok || got != o {
			t.Errorf("got %+v, %v; want %+v", got, ok, o)
		}
		if _, ok := DecodeOutcome(b[:len(b)-1]); ok {
			t.Error("a report that is cut off is taken for one")
		}
	}
	if _, ok := DecodeOutcome(nil); ok {
		t.Error("no report is taken for success")
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for s, want := range map[string][2]int{"3,4": {3, 4}, "12,0": {12, 0}} {
		if p, r, ok := parse(s); !ok || p != want[0] || r != want[1] {
			t.Errorf("%q: %d, %d, %v", s, p, r, ok)
		}
	}
	for _, s := range []string{"", "3", "3,", ",4", "3,4,5", "-1,4", "3, 4", "99999999999,1"} {
		if _, _, ok := parse(s); ok {
			t.Errorf("%q is taken", s)
		}
	}
}
