package wiring

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
)

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
			if r.Table == unix.RT_TABLE_MAIN && r.TOS == 0 && (!r.Kernel() || r.Refuses()) && !pl.deleted[r.Index] {
				has = append(has, r)
			}
		}
		is := func(w *Route, r *rtnl.TableRoute) bool {
			return r.Type == unix.RTN_UNICAST && r.To == w.To.Masked() && r.Metric == metric(w) && r.Via == w.Via && (w.Dev == "" || pl.index[w.Dev] == r.Index)
		}
		del := func(r *rtnl.TableRoute, why string) {
			route := Route{To: r.To, Via: r.Via, Metric: r.Metric}
			p.changes = append(p.changes, Change{Op: "-", Kind: "route", Node: n.Name, Name: n.Name + ": " + route.text(), Detail: pl.leaves(r.Index), Reason: why,
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
			c := Change{Op: "+", Kind: "route", Node: n.Name, Name: n.Name + ": " + w.text()}
			if w.Via.IsValid() && w.Dev != "" { // else it is in the name, or the kernel's choice
				c.Detail = "dev " + w.Dev
			}
			c.Steps = []Step{{Verb: AddRoute, Place: here, Index: pl.index[w.Dev], Route: *w}}
			p.changes = append(p.changes, c)
		}
		for _, r := range has {
			ours := r.Type == unix.RTN_UNICAST && slices.ContainsFunc(p.had.routes[here], func(o Route) bool {
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

// leaves says by which interface a route of the place leads.
func (pl *place) leaves(index int) string {
	for i := range pl.net.Links {
		if l := &pl.net.Links[i]; l.Index == index {
			return "dev " + l.Name
		}
	}
	return ""
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
