package wiring

import (
	"cmp"
	"maps"
	"slices"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// Quiet is what is known not to have changed since all of a lab was as its last file says. The zero value knows nothing;
// of the host that is never known.
type Quiet struct {
	Node    func(name string) bool
	Fabric  bool        // but for these
	Touched []rtnl.Link // the fabric's interfaces that have changed, as they are now
}

// Focus is the part of a lab that a plan has to look at. The rest is known to be what the last file wanted, and the
// new one wants the same of it.
type Focus struct {
	in     map[Place]bool
	cables []bool // of those wanted, which are to be judged
	places []Place
	names  map[string]bool   // interfaces of the fabric, where not all of it is in view
	routes bool              // the host's routes, too: some lead by legs
	peers  map[Place][]Place // where the other ends should be of the cables to be judged
}

// manyNames are more interfaces than are asked for one by one.
const manyNames = 64

// on tells whether a place is in view.
func (f *Focus) on(p Place) bool { return f == nil || f.in[p] }

// judges tells whether the i-th cable is to be judged: both of its ends are in view.
func (f *Focus) judges(i int) bool { return f == nil || f.cables[i] }

// Places are those to observe.
func (f *Focus) Places() []Place { return f.places }

// Suffices tells whether changes have been planned with enough in view: what is to be made in the fabric needs an index
// that nothing has there.
func (f *Focus) Suffices(changes []Change) bool {
	return f.in[Fabric] || !slices.ContainsFunc(changes, func(c Change) bool {
		return slices.ContainsFunc(c.Steps, func(s Step) bool {
			return s.Verb == AddCable && (s.Cable.A.Place == Fabric || s.Cable.B.Place == Fabric)
		})
	})
}

// Widen has all of the fabric in view, which is to be observed then.
func (f *Focus) Widen() { f.in[Fabric], f.names = true, nil }

// FocusOn tells what a plan from had to want has to look at: nodes, of which it is asked whether they run, and the fabric and the
// host where one has anything there; but not where nothing has changed and nothing is to be changed.
func FocusOn(want *Want, had []*Want, runs func(node string) bool, q Quiet) *Focus {
	f := &Focus{in: map[Place]bool{}, cables: make([]bool, len(want.Cables)), names: map[string]bool{}, routes: want.hasLegs()}
	if len(had) == 1 && q.Node != nil {
		f.differences(want, had[0], q)
	} else {
		f.everything(append([]*Want{want}, had...))
	}
	if len(f.names) > manyNames {
		f.in[Fabric] = true
	}
	if f.in[Fabric] {
		f.names = nil
	} else if len(f.names) > 0 {
		f.places = append(f.places, Fabric)
	}
	for p := range f.in {
		if p == Fabric || p == Host || runs(string(p)) {
			f.places = append(f.places, p)
		}
	}
	slices.SortFunc(f.places, func(a, b Place) int { return cmp.Compare(a, b) })
	f.pair(want)
	return f
}

// pair finds the places of cables' ends, be they there or yet to come.
func (f *Focus) pair(want *Want) {
	f.peers = map[Place][]Place{}
	for i := range want.Cables {
		a, b := want.Cables[i].A.Place, want.Cables[i].B.Place
		if f.cables[i] && a != b && !slices.Contains(f.peers[a], b) {
			f.peers[a] = append(f.peers[a], b)
		}
	}
}

func (f *Focus) everything(wants []*Want) {
	f.in[Fabric] = true
	for i := range f.cables {
		f.cables[i] = true
	}
	for _, w := range wants {
		for i := range w.Cables {
			if w.Cables[i].B.Place == Host {
				f.in[Host] = true
			}
		}
		for i := range w.Nodes {
			f.in[Place(w.Nodes[i].Name)] = true
		}
	}
}

// differences takes into view what may not be as the file before wanted it, or is wanted otherwise now.
func (f *Focus) differences(want, had *Want, q Quiet) {
	least := leastMTUs(had)
	touched, quiet := q.ports(had, least)
	if !quiet || !slices.Equal(want.Bridges, had.Bridges) || !maps.Equal(leastMTUs(want), least) {
		f.in[Fabric] = true
	}
	known := func(e *End) bool {
		switch e.Place {
		case Host:
			return false
		case Fabric:
			return quiet && !touched[e.Name]
		}
		return q.Node(string(e.Place))
	}
	last := byEndA(had)
	for i := range want.Cables {
		k := &want.Cables[i]
		was := last[endA(k)]
		same := was != nil && was.equal(k)
		if same {
			delete(last, endA(k))
		}
		if f.cables[i] = !same || !known(&k.A) || !known(&k.B); f.cables[i] {
			f.take(k, same && quiet)
		}
	}
	for _, k := range last { // and is no more
		f.take(k, false)
	}
	routes := make(map[string][]Route, len(had.Nodes))
	for i := range had.Nodes {
		n := &had.Nodes[i]
		routes[n.Name] = n.Routes
		if !q.Node(n.Name) {
			f.in[Place(n.Name)] = true
		}
	}
	for i := range want.Nodes {
		n := &want.Nodes[i]
		if was, there := routes[n.Name]; !there || !slices.Equal(was, n.Routes) {
			f.in[Place(n.Name)] = true
		}
	}
}

// take has both ends of a cable in view. One that is not to be made needs no more of the fabric than its own end there.
func (f *Focus) take(k *Cable, stays bool) {
	for _, e := range []*End{&k.A, &k.B} {
		if e.Place == Fabric && stays {
			f.names[e.Name], f.names[e.Master] = true, true
		} else {
			f.in[e.Place] = true
		}
	}
}

// ports tells which of the fabric's ports have changed, and whether the rest of the fabric is as it was. A bridge comes up late,
// and is as it was then.
func (q *Quiet) ports(had *Want, least map[string]int) (touched map[string]bool, quiet bool) {
	if !q.Fabric {
		return nil, false
	}
	touched = map[string]bool{}
	if len(q.Touched) == 0 {
		return touched, true
	}
	ports := map[string]bool{}
	for i := range had.Cables {
		for _, e := range []*End{&had.Cables[i].A, &had.Cables[i].B} {
			if e.Place == Fabric {
				ports[e.Name] = true
			}
		}
	}
	for i := range q.Touched {
		l := &q.Touched[i]
		if ports[l.Name] {
			touched[l.Name] = true
			continue
		}
		at := slices.IndexFunc(had.Bridges, func(b Bridge) bool { return b.Name == l.Name })
		if at < 0 || l.Kind != "bridge" || !l.Up() || len(had.Bridges[at].differs(l, least)) > 0 {
			return nil, false
		}
	}
	return touched, true
}

type end struct {
	place Place
	name  string
}

func endA(k *Cable) end { return end{k.A.Place, k.A.Name} }

func byEndA(w *Want) map[end]*Cable {
	m := make(map[end]*Cable, len(w.Cables))
	for i := range w.Cables {
		m[endA(&w.Cables[i])] = &w.Cables[i]
	}
	return m
}

func (k *Cable) equal(o *Cable) bool {
	return k.Name == o.Name && k.Leg == o.Leg && k.A.equal(&o.A) && k.B.equal(&o.B)
}

func (e *End) equal(o *End) bool {
	return e.Place == o.Place && e.Name == o.Name && e.AltName == o.AltName && e.MAC == o.MAC && e.MTU == o.MTU && e.Master == o.Master && e.Alias == o.Alias &&
		e.Forward == o.Forward && slices.Equal(e.Addresses, o.Addresses) && slices.Equal(e.Routes, o.Routes)
}
