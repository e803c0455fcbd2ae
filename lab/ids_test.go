package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/topology"
)

func TestRoom(t *testing.T) {
	t.Parallel()
	const last = 4095
	for name, tc := range map[string]struct {
		taken       []span
		from, count uint32
		want        uint32
	}{
		"the first":            {nil, 0, 2, 0},
		"behind":               {[]span{{0, 3}}, 0, 2, 3},
		"in front":             {[]span{{2, 5}}, 0, 2, 0},
		"not in front":         {[]span{{2, 5}}, 0, 3, 5},
		"between":              {[]span{{7, 8}, {0, 3}, {5, 6}}, 0, 2, 3},
		"behind a small gap":   {[]span{{0, 3}, {4, 7}}, 0, 2, 7},
		"one within another":   {[]span{{0, 9}, {2, 3}}, 0, 1, 9},
		"all that is left":     {[]span{{0, last - 2}}, 0, 2, last - 2},
		"one without ids":      {[]span{{0, 0}}, 0, 1, 0},
		"the same range twice": {[]span{{0, 2}, {0, 2}}, 0, 1, 2},
		"from the middle":      {[]span{{0, 2}, {9, 12}}, 8, 2, 12},
		"from within":          {[]span{{9, 12}}, 10, 2, 12},
		"from behind":          {[]span{{0, 5}}, 20, 2, 20},
	} {
		if got, ok := room(tc.taken, tc.count, tc.from, last); !ok || got != tc.want {
			t.Errorf("%s: got %d, %v; want %d", name, got, ok, tc.want)
		}
	}
	for name, tc := range map[string]struct {
		taken       []span
		from, count uint32
	}{"one too many": {[]span{{0, last - 2}}, 0, 3}, "too near the end": {nil, last - 1, 2}, "all taken": {[]span{{0, last}}, 0, 1}} {
		if got, ok := room(tc.taken, tc.count, tc.from, last); ok {
			t.Errorf("%s: got %d", name, got)
		}
	}
}

// fresh is what a machine without labs has left.
func fresh() *leftIDs { return &leftIDs{First: firstNodeID} }

// A lab gets room for nodes that may join it, for as long as there is plenty.
func TestAllot(t *testing.T) {
	t.Parallel()
	const k = container.IDs
	for name, tc := range map[string]struct {
		nodes int
		taken []labIDs
		first uint32 // in ranges, behind firstNodeID
		want  labIDs
	}{
		"an empty host":           {3, nil, 0, labIDs{firstNodeID, (3 + spareNodes) * k, firstID}},
		"from another place":      {3, nil, 1000, labIDs{firstNodeID + 1000*k, (3 + spareNodes) * k, firstID}},
		"behind the last":         {3, nil, 4090, labIDs{firstNodeID, (3 + spareNodes) * k, firstID}},
		"no node":                 {0, nil, 0, labIDs{firstNodeID, spareNodes * k, firstID}},
		"a large lab":             {300, nil, 0, labIDs{firstNodeID, 600 * k, firstID}},
		"a larger lab":            {1000, nil, 1000, labIDs{firstNodeID, 1500 * k, firstID}},
		"most of a host":          {3000, nil, 1000, labIDs{firstNodeID, 3000 * k, firstID}},
		"beside a large lab":      {300, []labIDs{{firstNodeID, 1500 * k, firstID}}, 0, labIDs{firstNodeID + 1500*k, 364 * k, firstID + 1502}},
		"between powers":          {1, []labIDs{{firstNodeID, k, firstID}, {firstNodeID + k, k, firstID + 100}}, 0, labIDs{firstNodeID + 2*k, 65 * k, firstID + 3}},
		"a host that is half had": {10, []labIDs{{firstNodeID, 2000 * k, firstID}}, 0, labIDs{firstNodeID + 2000*k, 10 * k, firstID + 2002}},
		"beside an earlier lab":   {1, []labIDs{{base: firstID, count: 67 * k}}, 0, labIDs{firstNodeID + 66*k, 65 * k, firstID + 68}},
	} {
		left := fresh()
		left.First += tc.first * k
		got, err := allot(tc.nodes, tc.taken, left)
		if err != nil || got != tc.want {
			t.Errorf("%s: got %d ranges from %d on, powers from %d on, error %v", name, got.count/k, (got.base-firstNodeID)/k, got.powers-firstID, err)
		}
		if !got.fits() {
			t.Errorf("%s: its own record would be refused", name)
		}
	}
	for text, tc := range map[string]struct {
		nodes int
		taken []labIDs
	}{
		"room for 4093 nodes: this one has 5000, and 0 are taken": {5000, nil},
		"this one has 0, and 4093 are taken":                      {0, []labIDs{{firstNodeID, lastID - firstNodeID, firstID}}},
	} {
		if got, err := allot(tc.nodes, tc.taken, fresh()); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %+v, error %v", got, err)
		}
	}
}

// No lab gets ids that a file may belong to as long as there are others, then those that were left first.
func TestAllotBesideWhatWasLeft(t *testing.T) {
	t.Parallel()
	const k = container.IDs
	left := fresh()
	seen := map[uint32]bool{}
	for i := range 2000 {
		l, err := allot(2, nil, left)
		if err != nil {
			t.Fatal(err)
		}
		for slot := range l.slots() {
			if seen[l.of(slot)] {
				t.Fatalf("lab %d gets a range in which a former one may have left files", i)
			}
		}
		for slot := range 2 {
			left.add(l.of(slot))
			seen[l.of(slot)] = true
		}
	}
	left = fresh()
	for at := range uint32(4093) {
		left.spans = append(left.spans, span{firstNodeID + (4092-at)*k, firstNodeID + (4093-at)*k}) // the last first
	}
	if l, err := allot(2, nil, left); err != nil || l.base < firstNodeID+3800*k || len(left.spans) < 3700 {
		t.Errorf("where all ids were left: from range %d on, error %v, and %d ranges are still known", (l.base-firstNodeID)/k, err, len(left.spans))
	}
}

func TestIDsOfARecord(t *testing.T) {
	t.Parallel()
	const k = container.IDs
	earlier, now := labIDs{base: firstID, count: 3 * k}, labIDs{firstNodeID, 3 * k, firstID + 7}
	if earlier.of(0) != firstID+k || earlier.slots() != 2 || earlier.power() != (span{firstID, firstID + 4}) {
		t.Errorf("of an earlier nsnet: %d, %d slots, %v", earlier.of(0), earlier.slots(), earlier.power())
	}
	if now.of(1) != firstNodeID+k || now.slots() != 3 || now.power() != (span{firstID + 7, firstID + 12}) {
		t.Errorf("%d, %d slots, %v", now.of(1), now.slots(), now.power())
	}
	for _, l := range []labIDs{{firstID, k, 0}, {firstNodeID, 3 * k, firstID}, {firstNodeID, 3 * k, firstNodeID - 5}} {
		if !l.fits() {
			t.Errorf("%+v is refused", l)
		}
	}
	for _, l := range []labIDs{{firstID - k, k, 0}, {firstID, 3 * k, firstID}, {firstNodeID, 3 * k, firstNodeID - 4}, {firstNodeID, 3 * k, firstID - 1}, {firstNodeID, 5, firstID},
		{lastID, k, firstID}, {1<<32 - k, k, firstID}, {firstNodeID, k, 1<<32 - 1}} {
		if l.fits() {
			t.Errorf("%+v is taken", l)
		}
	}
}

func TestTakenIDs(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := record{Name: "full", Base: firstNodeID, IDs: lastID - firstNodeID, Powers: firstID}
		dir := madeUp(t, r)
		madeUp(t, record{Name: "self", Base: firstNodeID, IDs: container.IDs, Powers: firstID}) // its own, of last time
		if got, err := takenIDs("self"); err != nil || !slices.Equal(got, []labIDs{r.ids()}) {
			t.Errorf("%+v, error %v", got, err)
		}
		// What a lab that runs has must be known; one that does not has none.
		if err := os.WriteFile(filepath.Join(dir, stateFile), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := takenIDs("self"); err != nil || len(got) != 0 {
			t.Errorf("beside a dead lab's damaged record: %+v, error %v", got, err)
		}
		hold(t, dir, aliveFile, "1\n")
		if got, err := takenIDs("self"); err == nil || !strings.Contains(err.Error(), "lab full") {
			t.Errorf("beside a running lab's damaged record: %+v, error %v", got, err)
		}
	})
}

// What was left is known to the next lab, and begun anew at a random place where nobody knows.
func TestLeftIDs(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name := filepath.Join(IDsDir, leftFile)
		places := map[uint32]bool{}
		for range 20 {
			places[readLeft().First] = true
		}
		if len(places) < 10 {
			t.Errorf("without a file 20 searches begin at %d places", len(places))
		}
		left := readLeft()
		const k = container.IDs
		for _, at := range []uint32{5, 6, 7, 6, 9, 2, 3} {
			left.add(firstNodeID + at*k)
		}
		if err := left.write(); err != nil {
			t.Fatal(err)
		}
		want := []span{{firstNodeID + 5*k, firstNodeID + 8*k}, {firstNodeID + 9*k, firstNodeID + 10*k}, {firstNodeID + 2*k, firstNodeID + 4*k}}
		got := readLeft()
		if got.First != left.First || !slices.Equal(got.spans, want) || got.changed {
			t.Errorf("%+v", got)
		}
		if err := got.write(); err != nil {
			t.Fatal(err)
		}
		for _, damaged := range []string{"", "{", "null", `{"first":0}`, `{"first":1879113729}`, `{"first":1879113728,"ranges":[[1,65536]]}`, `{"first":1879113728,"ranges":[[1879113728,4294901760]]}`,
			`{"first":1879113728,"ranges":[[1879113728,0]]}`, `{"first":2147352576}`, strings.Repeat(" ", maxLeft) + `{"first":1879113728}`} {
			if err := os.WriteFile(name, []byte(damaged), 0o600); err != nil {
				t.Fatal(err)
			}
			if l := readLeft(); !l.changed || len(l.spans) != 0 || l.First < firstNodeID || l.First >= lastID || l.First%k != 0 {
				t.Errorf("%.60q: %+v", damaged, l)
			}
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/etc/passwd", name); err != nil {
			t.Fatal(err)
		}
		if l := readLeft(); !l.changed {
			t.Errorf("behind a link: %+v", l)
		}
	})
}

func TestLeavesFiles(t *testing.T) {
	t.Parallel()
	for want, nodes := range map[bool][]topology.Node{
		true:  {{Binds: []topology.Bind{{ReadOnly: true}}}, {Unions: []topology.Union{{Layers: []topology.Layer{{Writable: true}}}}}},
		false: {{}, {Privileged: true, Binds: []topology.Bind{{}}}, {Unions: []topology.Union{{Layers: []topology.Layer{{}}}}}},
	} {
		for _, n := range nodes {
			if leavesFiles(&n) != want {
				t.Errorf("%+v: not %v", n, want)
			}
		}
	}
}
