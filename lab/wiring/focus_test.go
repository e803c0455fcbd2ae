package wiring

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// copyOf is what a namespace has, apart from what becomes of it.
func copyOf(n *Net) *Net {
	return &Net{Links: slices.Clone(n.Links), Addresses: slices.Clone(n.Addresses), Routes: slices.Clone(n.Routes)}
}

// inFocus is what ObserveFocus would see.
func (k *kernel) inFocus(f *Focus) Seen {
	seen := Seen{}
	for _, p := range f.places {
		seen[p] = k.seen[p]
		if p == Fabric && len(f.names) > 0 {
			seen[p] = &Net{Links: slices.DeleteFunc(slices.Clone(k.seen[p].Links), func(l rtnl.Link) bool { return !f.names[l.Name] })}
		}
	}
	if f.in[Fabric] {
		seen[Fabric] = k.seen[Fabric]
	}
	return seen
}

// A plan that looks only at what may differ is the plan that looks at everything.
func TestFocusLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := fresh()
		a := lab(t, "first")
		b := a
		if rapid.Bool().Draw(t, "edited") {
			b = lab(t, "second")
		}
		wa, wb := Of(a, true), Of(b, true)
		k.nodes(a)
		if _, err := k.converge(a); err != nil {
			t.Fatal(err)
		}
		before := map[Place]*Net{}
		for p, n := range k.seen {
			before[p] = copyOf(n)
		}
		for range rapid.IntRange(0, 2).Draw(t, "harms") {
			harm(t, k)
		}
		quiet := map[Place]bool{}
		for p, n := range before {
			quiet[p] = k.seen[p] != nil && reflect.DeepEqual(copyOf(k.seen[p]), n) && rapid.IntRange(0, 9).Draw(t, "touched") > 0
		}
		k.nodes(b)
		for p := range quiet { // a node that is started anew
			if p != Fabric && p != Host && rapid.IntRange(0, 9).Draw(t, "restarted") == 0 {
				quiet[p] = false
			}
		}
		all, err := Plan(wb, []*Want{wa}, k.seen, nil)
		if err != nil {
			t.Fatal(err)
		}
		q := Quiet{Node: func(n string) bool { return quiet[Place(n)] }, Fabric: rapid.IntRange(0, 5).Draw(t, "fabric is known") > 0}
		for _, l := range k.seen[Fabric].Links {
			at := slices.IndexFunc(before[Fabric].Links, func(o rtnl.Link) bool { return reflect.DeepEqual(o, l) })
			if at < 0 || rapid.IntRange(0, 9).Draw(t, "touched in the fabric") == 0 {
				q.Touched = append(q.Touched, l)
			}
		}
		q.Fabric = q.Fabric && !slices.ContainsFunc(before[Fabric].Links, func(o rtnl.Link) bool {
			return !slices.ContainsFunc(k.seen[Fabric].Links, func(l rtnl.Link) bool { return l.Index == o.Index })
		})
		focus := FocusOn(wb, []*Want{wa}, func(n string) bool { return k.seen[Place(n)] != nil }, q)
		some, err := Plan(wb, []*Want{wa}, k.inFocus(focus), focus)
		if err == nil && !focus.Suffices(some) {
			focus.Widen()
			some, err = Plan(wb, []*Want{wa}, k.inFocus(focus), focus)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(all)+len(some) > 0 && !reflect.DeepEqual(all, some) {
			t.Fatalf("seen %v %v of %v:\n%+v\n\nall:\n%+v", focus.Places(), focus.names, slices.Sorted(maps.Keys(k.seen)), some, all)
		}
	})
}

func TestFocusOn(t *testing.T) {
	t.Parallel()
	end := func(p Place, name string) End { return End{Place: p, Name: name, MTU: 1500} }
	want := func(edit func(*Want)) *Want {
		w := &Want{Lab: "demo", Bridges: []Bridge{{Name: "lan0", MTU: 1500}},
			Nodes: []Node{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}},
			Cables: []Cable{
				{Name: "a -- lan0", A: end("a", "eth0"), B: End{Place: Fabric, Name: "p1", Master: "lan0", MTU: 1500}},
				{Name: "b -- lan0", A: end("b", "eth0"), B: End{Place: Fabric, Name: "p2", Master: "lan0", MTU: 1500}},
				{Name: "c -- d", A: end("c", "eth0"), B: end("d", "eth0")},
			}}
		if edit != nil {
			edit(w)
		}
		return w
	}
	loud := func(nodes ...string) Quiet {
		return Quiet{Node: func(n string) bool { return !slices.Contains(nodes, n) }, Fabric: true}
	}
	touched := func(l rtnl.Link) Quiet {
		q := loud()
		q.Touched = []rtnl.Link{l}
		return q
	}
	none := func(*Want) {}
	everything := []Place{Fabric, "a", "b", "c", "d"}
	unknown := loud()
	unknown.Fabric = false
	for name, tt := range map[string]struct {
		edit  func(*Want)
		had   int
		quiet Quiet
		want  []Place
		whole bool // the fabric
	}{
		"nothing":              {none, 1, loud(), nil, false},
		"unknown":              {none, 1, Quiet{}, everything, true},
		"new":                  {none, 0, loud(), everything, true},
		"broken off before":    {none, 2, loud(), everything, true},
		"a touched node":       {none, 1, loud("a"), []Place{Fabric, "a"}, false},
		"a touched peer":       {none, 1, loud("c"), []Place{"c", "d"}, false},
		"unknown fabric":       {none, 1, unknown, []Place{Fabric, "a", "b"}, true},
		"a touched port":       {none, 1, touched(rtnl.Link{Name: "p2"}), []Place{Fabric, "b"}, false},
		"a bridge that is up":  {none, 1, touched(rtnl.Link{Name: "lan0", Kind: "bridge", MTU: 1500, Flags: unix.IFF_UP}), nil, false},
		"a bridge that is not": {none, 1, touched(rtnl.Link{Name: "lan0", Kind: "bridge", MTU: 1500}), []Place{Fabric, "a", "b"}, true},
		"a stranger":           {none, 1, touched(rtnl.Link{Name: "p1x"}), []Place{Fabric, "a", "b"}, true},
		"a cable more": {func(w *Want) { w.Cables = append(w.Cables, Cable{Name: "x", A: end("a", "p0"), B: end("b", "p0")}) }, 1, loud(),
			[]Place{"a", "b"}, false},
		"a cable less":         {func(w *Want) { w.Cables = w.Cables[:2] }, 1, loud(), []Place{"c", "d"}, false},
		"an MTU":               {func(w *Want) { w.Cables[0].A.MTU = 1400 }, 1, loud(), []Place{Fabric, "a"}, true},
		"a route":              {func(w *Want) { w.Nodes[3].Routes = []Route{{Dev: "eth0"}} }, 1, loud(), []Place{"d"}, false},
		"a bridge":             {func(w *Want) { w.Bridges[0].STP = true }, 1, loud(), []Place{Fabric}, true},
		"the host, never sure": {func(w *Want) { w.Cables[1].B = End{Place: Host, Name: "nsx", Master: "br0"} }, 1, loud(), []Place{Fabric, Host, "b"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var had []*Want
			for range tt.had {
				had = append(had, want(nil))
			}
			got := FocusOn(want(tt.edit), had, func(string) bool { return true }, tt.quiet)
			if !slices.Equal(got.Places(), tt.want) || got.in[Fabric] != tt.whole {
				t.Errorf("%q, whole fabric %v, want %q, %v", got.Places(), got.in[Fabric], tt.want, tt.whole)
			}
		})
	}
}
