package wiring

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

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
	used    map[int]bool   // indexes
	next    map[int]int    // where to look for a free index, by the first
	deleted map[int]bool   // interfaces, by index
	index   map[string]int // of the interfaces that are wanted, as they will be
	bridges map[string]int // index of those wanted, as they will be
	byIndex map[int][]rtnl.InterfaceAddress
}

type planner struct {
	want    *Want
	had     *owned
	seen    Seen
	focus   *Focus
	places  map[Place]*place
	changes []Change
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
		index: map[string]int{}, bridges: map[string]int{}, byIndex: map[int][]rtnl.InterfaceAddress{}}
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

func (p *planner) cables() error {
	for i := range p.want.Cables {
		k := &p.want.Cables[i]
		if !p.focus.judges(i) {
			p.settled(k)
			continue
		}
		if err := p.cable(k); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) cable(k *Cable) error {
	a, b := p.place(k.A.Place), p.place(k.B.Place)
	la, lb := a.byName[k.A.Name], b.byName[k.B.Name]
	c := Change{Op: "~", Kind: "link", Name: k.Name}
	if k.Leg {
		c.Kind = "leg"
	}
	if lb != nil && k.B.Place == Host && !strings.HasPrefix(lb.Alias, Mark(p.want.Lab)) && !p.paired(k, la, lb) {
		return &Taken{lb.Name}
	}
	if p.paired(k, la, lb) {
		a.index[k.A.Name], b.index[k.B.Name] = la.Index, lb.Index
		why := append(p.end(&c, &k.A, a, la), p.end(&c, &k.B, b, lb)...)
		if len(c.Steps) > 0 {
			c.Detail = strings.Join(why, ", ")
			p.changes = append(p.changes, c)
		}
		return nil
	}
	c.Remade, c.Reason = true, broken(k, la, lb)
	if la == nil && lb == nil {
		c.Op, c.Remade = "+", false
		if c.Reason = ""; p.known(k) {
			c.Op, c.Reason = "~", "both of its interfaces are missing"
			c.Remade = true
		}
	}
	c.Detail = detail(k)
	for _, e := range []struct {
		at   *place
		name Place
		link *rtnl.Link
	}{{a, k.A.Place, la}, {b, k.B.Place, lb}} {
		if e.link != nil {
			c.Steps = append(c.Steps, e.at.remove(e.name, e.link))
		}
	}
	add := Step{Verb: AddCable, Place: Fabric, Cable: k}
	switch {
	case k.Leg:
		add.Index, add.Master = a.take(firstFar, 0), a.bridges[k.A.Master]
	case k.B.Place == Host:
		add.Index = a.take(firstFar, 0)
	case k.B.Place == Fabric:
		add.Index = a.take(firstInterface, 0)
		add.IndexB, add.Master = b.take(firstPort, add.Index), b.bridges[k.B.Master]
	default:
		add.Index = a.take(firstInterface, 0)
		add.IndexB = b.take(firstInterface, add.Index)
	}
	a.index[k.A.Name], b.index[k.B.Name] = add.Index, add.IndexB
	c.Steps = append(c.Steps, add)
	p.freshEnd(&c, &k.A, add.Index, a)
	p.freshEnd(&c, &k.B, add.IndexB, b)
	p.changes = append(p.changes, c)
	return nil
}

// settled takes note of the ends in view of a cable that needs no look.
func (p *planner) settled(k *Cable) {
	for _, e := range []*End{&k.A, &k.B} {
		if !p.focus.on(e.Place) {
			continue
		}
		if pl := p.place(e.Place); pl.byName[e.Name] != nil {
			pl.index[e.Name] = pl.byName[e.Name].Index
		}
	}
}

// known tells whether a cable was there by the last file: its nodes are not new, and one of its
// ends had addresses.
func (p *planner) known(k *Cable) bool {
	for _, e := range []*End{&k.A, &k.B} {
		if _, there := p.seen[e.Place]; !there {
			return false
		}
	}
	_, a := p.had.addresses[k.A.Place][k.A.Name]
	_, b := p.had.addresses[k.B.Place][k.B.Name]
	return a || b
}

// paired tells whether two interfaces are the ends of a cable, one veth pair: each has the index that the other says its
// other end has, which goes for ends of different pairs, too, and that is in the namespace of the other. veth(4).
func (p *planner) paired(k *Cable, a, b *rtnl.Link) bool {
	if a == nil || b == nil || a.Kind != "veth" || b.Kind != "veth" || a.Lower != b.Index || b.Lower != a.Index {
		return false
	}
	if k.A.Place == k.B.Place {
		return a.LowerNS < 0
	}
	id, known := p.place(k.A.Place).net.IDs[k.B.Place]
	return known && a.LowerNS == id
}

// broken is why a cable has to be made anew.
func broken(k *Cable, a, b *rtnl.Link) string {
	name := func(e *End) string {
		switch e.Place {
		case Fabric:
			return "its port " + e.Name
		case Host:
			return "the host's interface " + e.Name
		}
		return string(e.Place) + ":" + e.Name
	}
	switch {
	case a == nil && b == nil:
		return ""
	case a == nil:
		return name(&k.A) + " is missing"
	case b == nil:
		return name(&k.B) + " is missing"
	}
	return name(&k.A) + " and " + name(&k.B) + " are not its two ends"
}

func detail(k *Cable) string {
	if k.Leg {
		return fmt.Sprintf("the host's, %s on %s", join(k.B.Addresses), k.A.Master)
	}
	d := join(global(k.A.Addresses))
	if k.B.Place != Fabric && k.B.Place != Host {
		d += " -- " + join(global(k.B.Addresses))
	}
	return d
}

// global leaves out what is derived from the hardware address.
func global(l []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(l), func(a netip.Prefix) bool { return a.Addr().IsLinkLocalUnicast() && a.Addr().Is6() })
}

func join(l []netip.Prefix) string {
	s := make([]string, len(l))
	for i := range l {
		s[i] = l[i].String()
	}
	return strings.Join(s, ", ")
}

// freshEnd adds what an interface gets after it was made.
func (p *planner) freshEnd(c *Change, e *End, index int, pl *place) {
	switch e.Place {
	case Fabric:
		return // made as a port that is up
	case Host:
		s := Step{Verb: SetLink, Place: Host, Link: e.Name, Index: index, Set: Set{Alias: e.Alias}}
		if e.Master != "" {
			m := pl.bridges[e.Master]
			s.Set.Master = &m
		}
		c.Steps = append(c.Steps, s)
	}
	for _, a := range e.Addresses {
		c.Steps = append(c.Steps, Step{Verb: AddAddress, Place: e.Place, Link: e.Name, Index: index, Address: a})
	}
	c.Steps = append(c.Steps, Step{Verb: UpLink, Place: e.Place, Link: e.Name, Index: index})
}

// end compares an end with an interface and adds the steps that make it so. It returns the reasons.
func (p *planner) end(c *Change, e *End, pl *place, l *rtnl.Link) (why []string) {
	who := e.Name
	if e.Place != Fabric && e.Place != Host {
		who = string(e.Place) + ":" + e.Name
	}
	var set Set
	if e.MAC != "" && l.MAC.String() != e.MAC {
		set.MAC = e.MAC
		why = append(why, fmt.Sprintf("%s mac %s -> %s", who, l.MAC, e.MAC))
	}
	if e.MTU > 0 && l.MTU != e.MTU {
		set.MTU = e.MTU
		why = append(why, fmt.Sprintf("%s mtu %d -> %d", who, l.MTU, e.MTU))
	}
	if e.Alias != "" && l.Alias != e.Alias {
		set.Alias = e.Alias
		why = append(why, who+" is not marked")
	}
	if e.Master != "" && pl.bridges[e.Master] != l.Master {
		m := pl.bridges[e.Master]
		set.Master = &m
		why = append(why, who+" is not a port of "+e.Master)
	}
	if set != (Set{}) {
		c.Steps = append(c.Steps, Step{Verb: SetLink, Place: e.Place, Link: e.Name, Index: l.Index, Set: set})
	}
	if e.Place != Fabric {
		why = append(why, p.addresses(c, e, pl, l, who)...)
	}
	if !l.Up() {
		c.Steps = append(c.Steps, Step{Verb: UpLink, Place: e.Place, Link: e.Name, Index: l.Index})
		why = append(why, who+" down -> up")
	}
	return why
}

// addresses compares the addresses of an interface. What the file does not say and the lab has not
// given stays, unless it stands in the place of an address that is missing.
func (p *planner) addresses(c *Change, e *End, pl *place, l *rtnl.Link, who string) (why []string) {
	has := pl.byIndex[l.Index]
	missing := map[bool]bool{} // by whether it is IPv4
	for _, w := range e.Addresses {
		if !slices.ContainsFunc(has, func(a rtnl.InterfaceAddress) bool { return a.Prefix == w }) {
			missing[w.Addr().Is4()] = true
			c.Steps = append(c.Steps, Step{Verb: AddAddress, Place: e.Place, Link: e.Name, Index: l.Index, Address: w})
			why = append(why, fmt.Sprintf("%s + %s", who, w))
		}
	}
	for _, a := range has {
		if slices.Contains(e.Addresses, a.Prefix) {
			if l.Up() && e.Place != Host && !pl.connected(a) {
				c.Steps = append(c.Steps, Step{Verb: DelAddress, Place: e.Place, Link: e.Name, Index: l.Index, Address: a.Prefix},
					Step{Verb: AddAddress, Place: e.Place, Link: e.Name, Index: l.Index, Address: a.Prefix})
				why = append(why, fmt.Sprintf("%s has lost the route to %s", who, a.Prefix.Masked()))
			}
			continue
		}
		ll := a.Prefix.Addr().IsLinkLocalUnicast() && a.Prefix.Addr().Is6()
		ours := slices.Contains(p.had.addresses[e.Place][e.Name], a.Prefix)
		same := slices.ContainsFunc(e.Addresses, func(w netip.Prefix) bool { return w.Addr() == a.Prefix.Addr() })
		instead := missing[a.Prefix.Addr().Is4()] && !ll && a.Flags&unix.IFA_F_PERMANENT != 0
		if ours || same || instead {
			c.Steps = append(c.Steps, Step{Verb: DelAddress, Place: e.Place, Link: e.Name, Index: l.Index, Address: a.Prefix})
			why = append(why, fmt.Sprintf("%s - %s", who, a.Prefix))
		}
	}
	return why
}

// connected tells whether the route is there that the kernel makes with an address, to its subnet.
func (pl *place) connected(a rtnl.InterfaceAddress) bool {
	if a.Prefix.IsSingleIP() || a.Flags&unix.IFA_F_NOPREFIXROUTE != 0 {
		return true // there is none
	}
	return slices.ContainsFunc(pl.net.Routes, func(r rtnl.TableRoute) bool { return r.To == a.Prefix.Masked() && r.Index == a.Index })
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
		return l.Kind == "veth" && (l.Alias == "" || strings.HasPrefix(l.Alias, Mark(p.want.Lab))) && !strings.HasPrefix(l.Alias, "nsnet:attach:")
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

// v6Metric is what the kernel gives an IPv6 route without a metric (IP6_RT_PRIO_USER).
const v6Metric = 1024

func metric(r *Route) int {
	if r.Metric == 0 && r.To.Addr().Is6() {
		return v6Metric
	}
	return r.Metric
}

// routes compares the nodes' routes. Those that the kernel makes by itself, and those that somebody in
// the node has added, stay.
func (p *planner) routes() {
	for i := range p.want.Nodes {
		n := &p.want.Nodes[i]
		here := Place(n.Name)
		if !p.focus.on(here) {
			continue
		}
		pl := p.place(here)
		var has []*rtnl.TableRoute
		for j := range pl.net.Routes {
			r := &pl.net.Routes[j]
			if r.Table == unix.RT_TABLE_MAIN && !r.Kernel() && !pl.deleted[r.Index] {
				has = append(has, r)
			}
		}
		is := func(w *Route, r *rtnl.TableRoute) bool {
			return r.To == w.To.Masked() && r.Metric == metric(w) && r.Via == w.Via && (w.Dev == "" || pl.index[w.Dev] == r.Index)
		}
		del := func(r *rtnl.TableRoute, why string) {
			route := Route{To: r.To, Via: r.Via, Metric: r.Metric}
			p.changes = append(p.changes, Change{Op: "-", Kind: "route", Node: n.Name, Name: n.Name + ": " + route.text(), Reason: why,
				Steps: []Step{{Verb: DelRoute, Place: here, Route: route, Raw: r.Raw}}})
		}
		for j := range n.Routes {
			w := &n.Routes[j]
			if slices.ContainsFunc(has, func(r *rtnl.TableRoute) bool { return is(w, r) }) {
				continue
			}
			for _, r := range has {
				// One that leads elsewhere is in the way, unless another line of the file means it.
				if r.To == w.To.Masked() && r.Metric == metric(w) && !slices.ContainsFunc(n.Routes, func(o Route) bool { return is(&o, r) }) {
					del(r, "the file has another one in its place")
				}
			}
			p.changes = append(p.changes, Change{Op: "+", Kind: "route", Node: n.Name, Name: n.Name + ": " + w.text(),
				Steps: []Step{{Verb: AddRoute, Place: here, Index: pl.index[w.Dev], Route: *w}}})
		}
		for _, r := range has {
			ours := slices.ContainsFunc(p.had.routes[here], func(o Route) bool {
				return o.To.Masked() == r.To && metric(&o) == r.Metric && o.Via == r.Via
			})
			if ours && !slices.ContainsFunc(n.Routes, func(o Route) bool {
				return o.To.Masked() == r.To && metric(&o) == r.Metric
			}) {
				del(r, "")
			}
		}
	}
}

// loopbacks brings up the nodes' lo, which gets its addresses from the kernel then, and gives it those that it has lost since.
func (p *planner) loopbacks() {
	for i := range p.want.Nodes {
		n := &p.want.Nodes[i]
		here := Place(n.Name)
		if !p.focus.on(here) {
			continue
		}
		pl := p.place(here)
		c := Change{Op: "~", Kind: "interface", Node: n.Name, Name: n.Name + ":lo"}
		l := pl.byName["lo"]
		if l == nil || !l.Up() {
			c.Detail, c.Steps = "down -> up", []Step{{Verb: UpLink, Place: here, Link: "lo", Index: 1}}
			p.changes = append(p.changes, c)
			continue
		}
		var why []string
		for _, w := range n.Loopback {
			if !slices.ContainsFunc(pl.byIndex[l.Index], func(a rtnl.InterfaceAddress) bool { return a.Prefix == w }) {
				c.Steps = append(c.Steps, Step{Verb: AddAddress, Place: here, Link: "lo", Index: l.Index, Address: w})
				why = append(why, fmt.Sprintf("lo + %s", w))
			}
		}
		if len(why) > 0 {
			c.Detail = strings.Join(why, ", ")
			p.changes = append(p.changes, c)
		}
	}
}
