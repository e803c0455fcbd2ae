package wiring

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/topology"
)

// behindMetric is that of the host's routes to what is behind a lab's routers: higher than what others give theirs, so that
// a network that the host joins later is the host's all the same.
const behindMetric = 32000

// behind gives the legs the host's routes to the subnets behind nodes that route, each by the nearest such node on a leg's bridge: one that
// has an interface in it, one whose own routes lead there, then one that has a way there by other routers, as a routing
// protocol would find it. The first by name of those that are as near.
func (w *Want) behind(l *topology.Lab) {
	if !slices.ContainsFunc(l.Nodes, func(n topology.Node) bool { return forwards(&n, true) || forwards(&n, false) }) {
		return
	}
	if !w.hasLegs() {
		return
	}
	m := w.routeMap()
	for _, ipv6 := range []bool{false, true} {
		s := w.search(l, ipv6, m)
		s.legs(w)
		for len(s.queue) > 0 {
			at := s.queue[0]
			s.queue = s.queue[1:]
			s.onward(at)
		}
	}
}

// forwards reports whether a node is a router of one version of IP, by its file.
func forwards(n *topology.Node, ipv6 bool) bool {
	prefix := "net.ipv4.conf."
	if ipv6 {
		prefix = "net.ipv6.conf."
	}
	for k, v := range n.Sysctls {
		if v != "0" && (k == "net.ipv4.ip_forward" && !ipv6 || strings.HasPrefix(k, prefix) && strings.HasSuffix(k, ".forwarding")) {
			return true
		}
	}
	return false
}

// search is the way from the legs to all that is behind routers, for one version of IP.
type search struct {
	ipv6    bool
	m       *routeMap
	routers map[Place]*router
	links   map[string][]*router // which of them are on a link
	known   map[netip.Prefix]bool
	held    map[netip.Prefix]bool // of these, those of legs and of routers' own routes, with all that is in them
	queue   []*router
}

// router is a node that routes, and by which leg and gateway the host reaches it once that is found.
type router struct {
	place  Place
	ends   []*End
	on     []string // links
	routes []Route
	leg    *End
	via    netip.Addr
}

func (w *Want) search(l *topology.Lab, ipv6 bool, m *routeMap) *search {
	s := &search{ipv6: ipv6, m: m, routers: map[Place]*router{}, links: map[string][]*router{}, known: map[netip.Prefix]bool{}, held: map[netip.Prefix]bool{}}
	for i := range l.Nodes {
		if n := &l.Nodes[i]; forwards(n, ipv6) {
			s.routers[Place(n.Name)] = &router{place: Place(n.Name), routes: w.Nodes[i].Routes}
		}
	}
	for i := range w.Cables {
		k := &w.Cables[i]
		if k.B.Place == Host { // a leg, or a bridge of the host's, where others are
			if k.Leg {
				for _, a := range k.B.Addresses {
					s.known[a.Masked()], s.held[a.Masked()] = true, true
				}
			}
			continue
		}
		link := fmt.Sprintf("cable %d", i)
		if k.B.Place == Fabric {
			link = "bridge " + k.B.Master
		}
		for _, e := range []*End{&k.A, &k.B} {
			if r := s.routers[e.Place]; r != nil {
				r.ends, r.on = append(r.ends, e), append(r.on, link)
				s.links[link] = append(s.links[link], r)
			}
		}
	}
	for _, all := range s.links {
		slices.SortFunc(all, func(a, b *router) int { return strings.Compare(string(a.place), string(b.place)) })
	}
	return s
}

// legs begins with the routers that the host has for neighbours.
func (s *search) legs(w *Want) {
	for i := range w.Cables {
		k := &w.Cables[i]
		if !k.Leg {
			continue
		}
		link := "bridge " + k.A.Master
		for _, r := range s.links[link] {
			if via, ok := r.address(link, &k.B, s.ipv6); ok && r.leg == nil {
				r.leg, r.via = &k.B, via
				s.queue = append(s.queue, r)
			}
		}
	}
	for _, r := range s.queue {
		s.own(r)
	}
	for _, r := range s.queue {
		s.routed(r)
	}
}

// address is one that a router has on a link, in a subnet of the leg that is there.
func (r *router) address(link string, leg *End, ipv6 bool) (netip.Addr, bool) {
	for i, e := range r.ends {
		if r.on[i] != link {
			continue
		}
		for _, a := range e.Addresses {
			near := func(l netip.Prefix) bool { return l.Masked().Contains(a.Addr()) }
			if a.Addr().Is6() == ipv6 && !a.Addr().IsLinkLocalUnicast() && slices.ContainsFunc(leg.Addresses, near) {
				return a.Addr(), true
			}
		}
	}
	return netip.Addr{}, false
}

func (s *search) own(r *router) {
	for _, e := range r.ends {
		for _, a := range e.Addresses {
			s.claim(a.Masked(), r)
		}
	}
}

func (s *search) routed(r *router) {
	at := s.m.node(r.place)
	for i := range r.routes {
		if to := r.routes[i].To.Masked(); inside(at, to) && s.claim(to, r) {
			s.held[to] = true
		}
	}
}

// onward goes from a router to its neighbours.
func (s *search) onward(at *router) {
	for _, link := range at.on {
		for _, r := range s.links[link] {
			if r.leg != nil {
				continue
			}
			r.leg, r.via = at.leg, at.via
			s.own(r)
			s.routed(r)
			s.queue = append(s.queue, r)
		}
		delete(s.links, link) // all of them are found
	}
}

// claim has the host reach a subnet by the way to a router, unless there is one by now or none is to be: what is others' in the internet
// takes consent, which none but a bridge's own address asks for.
func (s *search) claim(to netip.Prefix, r *router) bool {
	a := to.Addr()
	if a.Is6() != s.ipv6 || a.IsLinkLocalUnicast() || a.IsLoopback() || a.IsMulticast() || to.Bits() == 0 || topology.TakesOthers(to) || s.known[to] {
		return false
	}
	for bits := range to.Bits() {
		if around, err := a.Prefix(bits); err == nil && s.held[around] {
			return false
		}
	}
	s.known[to] = true
	r.leg.Routes = append(r.leg.Routes, Route{To: to, Via: r.via, Dev: r.leg.Name, Metric: behindMetric})
	return true
}

// hasLegs reports whether a bridge of the lab has an address that the host has.
func (w *Want) hasLegs() bool {
	return slices.ContainsFunc(w.Cables, func(k Cable) bool { return k.Leg })
}

// hasRoutes reports whether the host is to have routes by legs.
func (w *Want) hasRoutes() bool {
	return slices.ContainsFunc(w.Cables, func(k Cable) bool { return len(k.B.Routes) > 0 })
}

// Elsewhere returns the host's routes to what is behind a lab's routers that are not made, as the host has a network there, a
// route by another interface than the lab's, or one that refuses.
func (w *Want) Elsewhere(host *Net) []Route {
	if host == nil {
		return nil
	}
	ours := map[int]bool{}
	for i := range host.Links {
		if l := &host.Links[i]; strings.HasPrefix(l.Alias, Mark(w.Lab)) {
			ours[l.Index] = true
		}
	}
	var all []Route
	for i := range w.Cables {
		for _, r := range w.Cables[i].B.Routes {
			if slices.ContainsFunc(host.Routes, func(h rtnl.TableRoute) bool {
				network := h.Type == unix.RTN_UNICAST && h.To.Bits() > 0 && !ours[h.Index] && h.To.Overlaps(r.To)
				return h.Table == unix.RT_TABLE_MAIN && (network || h.Refuses() && h.To == r.To)
			}) {
				all = append(all, r)
			}
		}
	}
	return all
}

// legRoutes compares the host's routes by a leg, which go with it. There is none yet where the leg is about to be made.
func (p *planner) legRoutes(c *Change, e *End, pl *place, index int, has []rtnl.TableRoute) (why []string) {
	if p.elsewhere == nil {
		p.elsewhere = map[netip.Prefix]bool{}
		for _, r := range p.want.Elsewhere(pl.net) {
			p.elsewhere[r.To] = true
		}
	}
	is := func(w *Route) func(rtnl.TableRoute) bool {
		return func(r rtnl.TableRoute) bool {
			return r.Table == unix.RT_TABLE_MAIN && r.Type == unix.RTN_UNICAST && r.To == w.To && r.Via == w.Via && r.Index == index && r.Metric == w.Metric
		}
	}
	for _, w := range p.had.routes[Host] {
		at := slices.IndexFunc(has, is(&w))
		if w.Dev == e.Name && at >= 0 && (!slices.Contains(e.Routes, w) || p.elsewhere[w.To]) {
			c.Steps = append(c.Steps, Step{Verb: DelRoute, Place: Host, Link: e.Name, Index: index, Route: w, Raw: has[at].Raw})
			why = append(why, "- route to "+w.behindText())
		}
	}
	for _, w := range e.Routes {
		if !p.elsewhere[w.To] && !slices.ContainsFunc(has, is(&w)) {
			c.Steps = append(c.Steps, Step{Verb: AddRoute, Place: Host, Link: e.Name, Index: index, Route: w})
			why = append(why, "+ route to "+w.behindText())
		}
	}
	return why
}

func (r *Route) behindText() string { return fmt.Sprintf("%s via %s", r.To, r.Via) }
