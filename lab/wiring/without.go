package wiring

import (
	"slices"
)

// Without returns what a lab wants while some of its nodes are not there: neither these nor their links, nor the routes of others that
// lead through such a link.
func (w *Want) Without(nodes []string) *Want {
	out := &Want{Lab: w.Lab, Bridges: w.Bridges, cut: map[end]bool{}}
	gone := func(p Place) bool { return slices.Contains(nodes, string(p)) }
	for i := range w.Cables {
		k := &w.Cables[i]
		if !gone(k.A.Place) && !gone(k.B.Place) {
			out.Cables = append(out.Cables, *k)
			continue
		}
		out.cut[end{k.A.Place, k.A.Name}], out.cut[end{k.B.Place, k.B.Name}] = true, true
	}
	for i := range w.Nodes {
		n := w.Nodes[i]
		if gone(Place(n.Name)) {
			continue
		}
		cut := func(r *Route) bool { return out.cut[end{Place(n.Name), r.Dev}] }
		n.Routes = slices.DeleteFunc(slices.Clone(n.Routes), func(r Route) bool {
			if r.Dev == "" { // the kernel's choice, which is how others lead to its gateway
				to := func(o Route) bool { return !o.Via.IsValid() && o.To.Contains(r.Via) }
				lost := slices.ContainsFunc(w.Nodes[i].Routes, func(o Route) bool { return to(o) && cut(&o) })
				return lost && !slices.ContainsFunc(w.Nodes[i].Routes, func(o Route) bool { return to(o) && !cut(&o) })
			}
			return cut(&r)
		})
		out.Nodes = append(out.Nodes, n)
	}
	return out
}

// Cut reports whether an interface of a node that is there is one that Without has left out.
func (w *Want) Cut(node, iface string) bool { return w.cut[end{Place(node), iface}] }

// Possible returns those steps to the whole that can be done for what Without has left.
func (w *Want) Possible(steps []Step) []Step {
	routes, cables := map[Place][]Route{}, map[string]bool{}
	for i := range w.Nodes {
		routes[Place(w.Nodes[i].Name)] = w.Nodes[i].Routes
	}
	for i := range w.Cables {
		cables[w.Cables[i].Name] = true
	}
	return slices.DeleteFunc(slices.Clone(steps), func(s Step) bool {
		_, there := routes[s.Place]
		switch {
		case s.Verb == AddCable:
			return !cables[s.Cable.Name]
		case !there && s.Place != Fabric && s.Place != Host, s.Link != "" && w.cut[end{s.Place, s.Link}]:
			return true
		}
		return s.Verb == AddRoute && s.Place != Host && !slices.Contains(routes[s.Place], s.Route)
	})
}
