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
	legs, m := map[string]bool{}, w.routeMap()
	var ofLegs []netip.Prefix
	for i := range w.Cables {
		if k := &w.Cables[i]; k.Leg {
			legs[k.A.Master] = true
			ofLegs = append(ofLegs, k.B.Addresses...)
		}
	}
	onLink, _ := sortedPrefixes(ofLegs)
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
			for _, a := range e.Addresses {
				if foreign {
					continue
				}
				add(a)
				if legs[k.B.Master] || onLink.find(netip.PrefixFrom(a.Addr(), a.Addr().BitLen())) >= 0 {
					r.Addresses = append(r.Addresses, a.Addr())
				}
			}
		}
	}
	for i := range w.Nodes {
		n := &w.Nodes[i]
		at := m.node(Place(n.Name))
		for j := range n.Routes {
			if inside(at, n.Routes[j].To.Masked()) {
				add(n.Routes[j].To)
			}
		}
	}
	return r
}

// routeMap is where the lab's nodes send what to.
type routeMap struct {
	nodes  map[Place]*routing
	owners map[netip.Addr]*routing
	host   map[netip.Addr]bool // the host's addresses
}

// routing is what one node knows.
type routing struct {
	subnets []netip.Prefix  // of its interfaces
	foreign map[string]bool // interfaces on a bridge of the host
	known   prefixes        // the subnets, and what its routes lead to
	next    []hop           // of what it knows
}

// hop is whom a packet is handed on to: another node, or, if that is nil, where it ends.
type hop struct {
	node   *routing
	inside bool // it ends in the lab
	own    bool // in a subnet of the node's own
}

// routeMap finds out where that is.
func (w *Want) routeMap() *routeMap {
	m := &routeMap{nodes: map[Place]*routing{}, owners: map[netip.Addr]*routing{}, host: map[netip.Addr]bool{}}
	for i := range w.Cables {
		k := &w.Cables[i]
		if k.Leg {
			m.leg(&k.B)
			continue
		}
		for _, e := range []*End{&k.A, &k.B} {
			if e.Place != Fabric && e.Place != Host {
				m.end(e, k.B.Place == Host)
			}
		}
	}
	m.route(w.Nodes)
	return m
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
	n := m.node(e.Place)
	n.foreign[e.Name] = foreign
	for _, a := range e.Addresses {
		if m.owners[a.Addr()] = n; !foreign {
			n.subnets = append(n.subnets, a)
		}
	}
}

// route finds out where the nodes' routes lead to, once all ends are known. In a subnet of a node's own its routes have no say.
func (m *routeMap) route(nodes []Node) {
	routes := map[*routing][]Route{}
	for i := range nodes {
		routes[m.node(Place(nodes[i].Name))] = nodes[i].Routes
	}
	for _, n := range m.nodes {
		to := slices.Clone(n.subnets)
		for _, r := range routes[n] {
			to = append(to, r.To)
		}
		var which []int
		n.known, which = sortedPrefixes(to)
		n.next = make([]hop, len(which))
		for i, w := range which {
			if up := n.known.up[i]; w < len(n.subnets) || up >= 0 && n.next[up].own {
				n.next[i] = hop{inside: true, own: true}
			} else {
				n.next[i] = m.hop(n, &routes[n][w-len(n.subnets)])
			}
		}
	}
}

func (m *routeMap) hop(n *routing, r *Route) hop {
	if m.host[r.Via] || n.foreign[r.Dev] {
		return hop{}
	}
	next := m.owners[r.Via]
	if next == nil || next == n || r.To.Bits() == 0 { // a route for everything else, and not a word of this
		return hop{inside: true}
	}
	return hop{node: next}
}

// maxHops is how many routers a packet lives for: its time to live is a byte. RFC 791, RFC 8200.
const maxHops = 255

// inside reports whether what a node sends to a network stays in the lab: it, or one that it hands it on to, is in it, and none hands it to
// the host. Where nobody says more, it ends there. What is for everywhere is not inside, nor what goes in a circle or farther than a packet does.
func inside(at *routing, to netip.Prefix) bool {
	if to.Bits() == 0 {
		return false
	}
	for range maxHops + 1 {
		best := at.known.find(to)
		if best < 0 {
			return true
		}
		next := at.next[best]
		if next.node == nil {
			return next.inside
		}
		at = next.node
	}
	return false
}
