package wiring

import (
	"net/netip"
	"slices"

	"github.com/nsnet/nsnet/topology"
)

// Reach is what of a lab is to be seen through the legs of its bridges.
type Reach struct {
	Addresses []netip.Addr   // of its interfaces that a leg's host may have for a neighbour
	Subnets   []netip.Prefix // that its packets come from: those of bridges and links, and what the nodes' routes say is behind others of them
}

// ReachOf tells what a lab's legs have behind them, by its file.
func ReachOf(l *topology.Lab, w *Want) Reach {
	var r Reach
	subnets := map[netip.Prefix]bool{}
	add := func(p netip.Prefix) {
		if p = p.Masked(); !p.Addr().IsLinkLocalUnicast() && !subnets[p] {
			subnets[p] = true
			r.Subnets = append(r.Subnets, p)
		}
	}
	for i := range l.Bridges {
		if b := &l.Bridges[i]; !b.External {
			for _, s := range b.Subnets {
				add(s)
			}
		}
	}
	legs, m := map[string]bool{}, routeMap{nodes: map[Place]*routing{}, host: map[netip.Addr]bool{}}
	var onLink []netip.Prefix
	for i := range w.Cables {
		if k := &w.Cables[i]; k.Leg {
			legs[k.A.Master] = true
			onLink = append(onLink, k.B.Addresses...)
			m.leg(&k.B)
		}
	}
	for i := range w.Cables {
		k := &w.Cables[i]
		if k.Leg {
			continue
		}
		foreign := k.B.Place == Host // a bridge of the host: what is there is the host's
		for _, e := range []*End{&k.A, &k.B} {
			if e.Place == Fabric || e.Place == Host {
				continue
			}
			m.end(e, foreign)
			for _, a := range e.Addresses {
				if foreign {
					continue
				}
				add(a)
				if legs[k.B.Master] || slices.ContainsFunc(onLink, func(p netip.Prefix) bool { return p.Masked().Contains(a.Addr()) }) {
					r.Addresses = append(r.Addresses, a.Addr())
				}
			}
		}
	}
	for i := range w.Nodes {
		m.node(Place(w.Nodes[i].Name)).routes = w.Nodes[i].Routes
	}
	for i := range w.Nodes {
		n := &w.Nodes[i]
		for j := range n.Routes {
			if m.inside(Place(n.Name), n.Routes[j].To, len(w.Nodes)) {
				add(n.Routes[j].To)
			}
		}
	}
	return r
}

// routeMap is where the lab's nodes send what to.
type routeMap struct {
	nodes  map[Place]*routing
	owners map[netip.Addr]Place
	host   map[netip.Addr]bool // the host's addresses
}

// routing is what one node knows.
type routing struct {
	subnets []netip.Prefix  // of its interfaces
	foreign map[string]bool // interfaces on a bridge of the host
	routes  []Route
}

func (m *routeMap) node(p Place) *routing {
	n := m.nodes[p]
	if n == nil {
		n = &routing{foreign: map[string]bool{}}
		m.nodes[p] = n
	}
	return n
}

func (m *routeMap) leg(e *End) {
	for _, a := range e.Addresses {
		m.host[a.Addr()] = true
	}
	if ll, ok := linkLocal(e.MAC); ok {
		m.host[ll.Addr()] = true
	}
}

func (m *routeMap) end(e *End, foreign bool) {
	if m.owners == nil {
		m.owners = map[netip.Addr]Place{}
	}
	n := m.node(e.Place)
	n.foreign[e.Name] = foreign
	for _, a := range e.Addresses {
		if m.owners[a.Addr()] = e.Place; !foreign {
			n.subnets = append(n.subnets, a.Masked())
		}
	}
}

// inside reports whether what a node sends to a network stays in the lab: it, or one that it hands it on to, is in it, and none hands it to
// the host. Where nobody says more, it ends there. What is for everywhere is not inside.
func (m *routeMap) inside(at Place, to netip.Prefix, hops int) bool {
	if to.Bits() == 0 {
		return false
	}
	for range hops + 1 {
		n := m.nodes[at]
		if n == nil || slices.ContainsFunc(n.subnets, func(s netip.Prefix) bool { return s.Bits() <= to.Bits() && s.Contains(to.Addr()) }) {
			return true
		}
		best := -1
		for i := range n.routes {
			r := &n.routes[i]
			if r.To.Bits() <= to.Bits() && r.To.Masked().Contains(to.Addr()) && (best < 0 || r.To.Bits() > n.routes[best].To.Bits()) {
				best = i
			}
		}
		if best < 0 {
			return true
		}
		r := &n.routes[best]
		if m.host[r.Via] || n.foreign[r.Dev] {
			return false
		}
		next, known := m.owners[r.Via]
		if !known || next == at || r.To.Bits() == 0 { // a route for everything else, and not a word of this
			return true
		}
		at = next
	}
	return false // a circle
}
