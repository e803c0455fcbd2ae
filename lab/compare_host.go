package lab

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/topology"
)

// ports compares the published ports with those that the lab init serves.
func (d *difference) ports(want *topology.Lab, o *observed) {
	wanted := map[string]bool{}
	had := map[string][]proto.PublishedPort{}
	for i, h := range o.had {
		for j := range h.Nodes {
			n := &h.Nodes[j]
			for _, p := range n.Ports {
				if !o.counts(i, "port", portKey(p)) {
					continue
				}
				had[portKey(p)] = append(had[portKey(p)], publishedPort(h, n.Name, p))
			}
		}
	}
	for i := range want.Nodes {
		n := &want.Nodes[i]
		for _, p := range n.Ports {
			key := portKey(p)
			wanted[key] = true
			to := publishedPort(want, n.Name, p)
			switch {
			case !slices.Contains(o.state.Ports, key):
				d.open = append(d.open, openPort{n.Name, p})
				d.say("+", "port", key, fmt.Sprintf("to %s:%d", n.Name, p.Port), "", "")
			case slices.ContainsFunc(had[key], func(h proto.PublishedPort) bool { return !reflect.DeepEqual(h, to) }):
				d.retarget = append(d.retarget, to)
				d.say("~", "port", key, fmt.Sprintf("to %s:%d", n.Name, p.Port), "", CostInPlace)
			}
		}
	}
	for _, key := range o.state.Ports {
		if !wanted[key] {
			d.closed = append(d.closed, key)
			d.say("-", "port", key, "", "", "")
		}
	}
}

// peersText says which bridges of other labs those of a lab are to reach.
func peersText(l *topology.Lab) string {
	var all []string
	for i := range l.Bridges {
		if b := &l.Bridges[i]; len(b.Peers) > 0 {
			all = append(all, b.Name+" and "+strings.Join(b.Peers, ", "))
		}
	}
	return strings.Join(all, "; ")
}

// host compares the lab's tables on the host, and what that does for it.
func (d *difference) host(want *topology.Lab, o *observed) {
	now := natText(want)
	wanted := tableConfig(want, o.want)
	kind := "guard" // of a lab's legs without translation
	if now != "" || slices.ContainsFunc(o.had, func(h *topology.Lab) bool { return natText(h) != "" }) {
		kind = "nat"
	}
	switch {
	case len(wanted.Legs) > 0 && !o.state.Table && o.rec.NoTable && kind == "guard":
	case len(wanted.Legs) > 0 && !o.state.Table:
		d.table = true
		d.say("+", kind, want.Name, now, "", "")
	case len(wanted.Legs) == 0 && o.state.Table:
		d.table = true
		d.say("-", kind, want.Name, "", "", "")
	default:
		for i, h := range o.had {
			if !o.counts(i, "nat", want.Name) || !o.counts(i, "peers", want.Name) || !o.counts(i, "guard", want.Name) {
				continue // it is another table by now
			}
			had := tableConfig(h, o.wants[i])
			if before := natText(h); now != before {
				d.table = true
				op, cost := sign(before, now)
				d.say(op, "nat", want.Name, now, "", cost)
				break
			}
			if peers := peersText(want); peers != peersText(h) {
				d.table = true
				op, cost := sign(peersText(h), peers)
				d.say(op, "peers", want.Name, peers, "", cost)
				break
			}
			d.table = d.table || !reflect.DeepEqual(wanted, had) // which other actions tell of
		}
	}
	// A leg that is made anew is another interface than the table has looked at.
	d.table = d.table || slices.ContainsFunc(d.wires, func(c wiring.Change) bool { return c.Kind == "leg" && c.Remade })
	for _, f := range o.borrowed {
		if !slices.Contains(o.state.Transit, string(f)) {
			d.transit = append(d.transit, f)
			d.say("+", "guard", string(f), "the host forwards for labs alone", "", "")
		}
	}
	for _, f := range o.state.Transit {
		if !slices.Contains(o.borrowed, bridge.Family(f)) {
			d.givenUp = append(d.givenUp, f)
			d.say("-", "guard", f, "the host forwards for others, too, or no more", "", "")
		}
	}
	d.rules = o.missingRules
	for _, r := range d.rules {
		d.say("+", "rule", r.Program+" "+r.Chain, strings.Join(r.Spec, " "), "the host's firewall drops what it forwards", "")
	}
	for _, r := range o.rec.Rules {
		if !slices.ContainsFunc(o.rules, func(w bridge.Rule) bool { return reflect.DeepEqual(r, w) }) {
			d.oldRules = append(d.oldRules, r)
			d.say("-", "rule", r.Program+" "+r.Chain, strings.Join(r.Spec, " "), "", "")
		}
	}
	for _, s := range slices.Concat(o.forwarding, o.legs) {
		why := "the host does not forward"
		if s.New == "0" {
			why = "nothing is to be forwarded for the lab"
		}
		if s.New != "" {
			d.say("~", "sysctl", s.Path, s.Old+" -> "+s.New, why, CostInPlace)
		}
	}
	for _, r := range o.released {
		what := "back to what it was"
		if r.heir != "" {
			what = "stays on, as lab " + r.heir + " needs it"
		}
		d.say("~", "sysctl", string(r.family)+" forwarding", what, "", CostInPlace)
	}
}

// sign is whether what is said of a lab comes, goes or is another, which has a cost.
func sign(before, now string) (op, cost string) {
	switch {
	case before == "":
		return "+", ""
	case now == "":
		return "-", ""
	}
	return "~", CostInPlace
}

// natText is which bridges are translated from which subnets, empty where none is.
func natText(l *topology.Lab) string {
	var parts []string
	for i := range l.Bridges {
		t := &l.Bridges[i]
		if t.External || len(t.Addresses) == 0 || !t.NAT {
			continue
		}
		var subnets []string
		for _, a := range t.Addresses {
			subnets = append(subnets, a.Masked().String())
		}
		parts = append(parts, t.Name+" "+strings.Join(subnets, ", "))
	}
	return strings.Join(parts, "; ")
}
