package wiring

import (
	"net/netip"
	"strings"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// Plan tells what to change for what is seen to become what is wanted, where had is what
// earlier files of the same lab wanted. Places of nodes that are about to be started are not in seen, and those
// that are not in the focus need no look; nil is a focus on everything.
func Plan(want *Want, had []*Want, seen Seen, focus *Focus) ([]Change, error) {
	p := &planner{want: want, seen: seen, focus: focus, places: map[Place]*place{}, had: ownedBy(had, focus)}
	p.bridges()
	if err := p.cables(); err != nil {
		return nil, err
	}
	p.stale(had)
	p.routes()
	p.loopbacks()
	return p.changes, nil
}

// place is a namespace while it is planned for.
type place struct {
	net     *Net
	byName  map[string]*rtnl.Link
	used    map[int]bool    // indexes
	next    map[int]int     // where to look for a free index, by the first
	deleted map[int]bool    // interfaces, by index
	index   map[string]int  // of the interfaces that are wanted, as they will be
	bridges map[string]int  // index of those wanted, as they will be
	kept    map[string]bool // bridges of the host whose hardware address was looked at
	byIndex map[int][]rtnl.InterfaceAddress
}

type planner struct {
	want    *Want
	had     *owned
	seen    Seen
	focus   *Focus
	places  map[Place]*place
	changes []Change

	elsewhere map[netip.Prefix]bool // what the host has other routes to than those behind the lab's routers; nil: not looked for yet
}

// owned is what earlier files wanted.
type owned struct {
	addresses map[Place]map[string][]netip.Prefix // by interface
	routes    map[Place][]Route
}

func ownedBy(had []*Want, focus *Focus) *owned {
	o := &owned{addresses: map[Place]map[string][]netip.Prefix{}, routes: map[Place][]Route{}}
	for _, w := range had {
		for i := range w.Cables {
			for _, e := range []*End{&w.Cables[i].A, &w.Cables[i].B} {
				if focus.on(e.Place) {
					o.routes[e.Place] = append(o.routes[e.Place], e.Routes...)
				}
				if len(e.Addresses) == 0 || !focus.on(e.Place) {
					continue
				}
				if o.addresses[e.Place] == nil {
					o.addresses[e.Place] = map[string][]netip.Prefix{}
				}
				o.addresses[e.Place][e.Name] = append(o.addresses[e.Place][e.Name], e.Addresses...)
			}
		}
		for i := range w.Nodes {
			p := Place(w.Nodes[i].Name)
			if !focus.on(p) {
				continue
			}
			o.routes[p] = append(o.routes[p], w.Nodes[i].Routes...)
		}
	}
	return o
}

func (p *planner) place(name Place) *place {
	if pl := p.places[name]; pl != nil {
		return pl
	}
	pl := &place{net: p.seen[name], byName: map[string]*rtnl.Link{}, used: map[int]bool{}, next: map[int]int{}, deleted: map[int]bool{},
		index: map[string]int{}, bridges: map[string]int{}, kept: map[string]bool{}, byIndex: map[int][]rtnl.InterfaceAddress{}}
	if pl.net == nil {
		pl.net = &Net{}
	}
	for i := range pl.net.Links {
		l := &pl.net.Links[i]
		pl.byName[l.Name], pl.used[l.Index] = l, true
		if name == Host && l.Kind == "bridge" {
			pl.bridges[l.Name] = l.Index
		}
	}
	for _, a := range pl.net.Addresses {
		pl.byIndex[a.Index] = append(pl.byIndex[a.Index], a)
	}
	p.places[name] = pl
	return pl
}

// take gives an index that nothing in the place has, from first on, and that is not avoid.
func (pl *place) take(first, avoid int) int {
	i := max(pl.next[first], first)
	for pl.used[i] {
		i++
	}
	pl.next[first] = i
	if i == avoid { // stays free for the next
		for i++; pl.used[i]; i++ {
		}
	}
	pl.used[i] = true
	return i
}

// Interface indexes are given, not asked for. Below these are those that the kernel makes in a
// new network namespace, lo and the fallback tunnels. What is on a cable to the host, which
// numbers its own, is far above what a host comes to.
const (
	firstBridge    = 100
	firstPort      = 2000
	firstInterface = 20
	firstFar       = 1 << 20
)

// remove deletes an interface that is seen, by its index.
func (pl *place) remove(where Place, l *rtnl.Link) Step {
	pl.deleted[l.Index] = true
	pl.used[l.Index] = false // by the time that something is made, it is
	for first := range pl.next {
		pl.next[first] = first
	}
	delete(pl.byName, l.Name)
	return Step{Verb: DelLink, Place: where, Link: l.Name, Index: l.Index}
}

// stale removes what earlier files wanted and this one does not.
func (p *planner) stale(had []*Want) {
	wanted := map[end]bool{}
	for i := range p.want.Cables {
		k := &p.want.Cables[i]
		wanted[end{k.A.Place, k.A.Name}], wanted[end{k.B.Place, k.B.Name}] = true, true
	}
	for i := range p.want.Bridges {
		wanted[end{Fabric, p.want.Bridges[i].Name}] = true
	}
	done := map[end]bool{}
	remove := func(c *Change, e end, ok func(*rtnl.Link) bool) {
		if wanted[e] || done[e] || p.seen[e.place] == nil {
			return
		}
		pl := p.place(e.place)
		if l := pl.byName[e.name]; l != nil && ok(l) {
			done[e] = true
			c.Steps = append(c.Steps, pl.remove(e.place, l))
		}
	}
	ours := func(l *rtnl.Link) bool {
		return l.Kind == "veth" && (l.Alias == "" || strings.HasPrefix(l.Alias, Mark(p.want.Lab))) && !Attached(l.Alias)
	}
	for _, w := range had {
		for i := range w.Cables {
			k := &w.Cables[i]
			c := Change{Op: "-", Kind: "link", Name: k.Name}
			if k.Leg {
				c.Kind = "leg"
			}
			for _, e := range []*End{&k.A, &k.B} {
				remove(&c, end{e.Place, e.Name}, ours)
			}
			if len(c.Steps) > 0 {
				p.changes = append(p.changes, c)
			}
		}
		for i := range w.Bridges {
			c := Change{Op: "-", Kind: "bridge", Name: w.Bridges[i].Name}
			remove(&c, end{Fabric, w.Bridges[i].Name}, func(l *rtnl.Link) bool { return l.Kind == "bridge" })
			if len(c.Steps) > 0 {
				p.changes = append(p.changes, c)
			}
		}
	}
}
