package lab

import (
	"slices"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/topology"
)

// routing is what a lab needs the host to forward.
type routing struct {
	all      []string        // its legs
	switches []bridge.Family // what is forwarded by a switch for all of the host's interfaces
	legs     []string        // those that forward IPv4, each by a switch of its own
	between  []string        // bridges that reach each other through the host
}

// none reports whether nothing has to be forwarded.
func (r *routing) none() bool { return len(r.switches)+len(r.legs) == 0 }

// routingOf finds what the host has to forward for a lab: with nat all that its nodes send, else what goes between two of its bridges that
// have an address, and to peers. IPv6 has no switch of a leg's own, up to Linux 6.17.
func routingOf(l *topology.Lab) routing {
	var r routing
	nat := map[bridge.Family]bool{}
	peers := map[bridge.Family]bool{}
	legs := map[bridge.Family][]string{}
	bridges := map[bridge.Family][]string{}
	for i := range l.Bridges {
		t := &l.Bridges[i]
		if t.External || len(t.Addresses) == 0 {
			continue
		}
		leg := bridge.LegName(l.Name, t.Name)
		r.all = append(r.all, leg)
		for _, a := range t.Addresses {
			f := bridge.IPv4
			if a.Addr().Is6() {
				f = bridge.IPv6
			}
			nat[f] = nat[f] || t.NAT
			peers[f] = peers[f] || len(t.Peers) > 0
			legs[f] = append(legs[f], leg)
			bridges[f] = append(bridges[f], t.Name)
		}
	}
	for _, f := range bridge.Families() {
		routed := peers[f] || len(legs[f]) > 1
		if nat[f] || routed && f == bridge.IPv6 {
			r.switches = append(r.switches, f)
		}
		if routed && f == bridge.IPv4 {
			r.legs = legs[f]
		}
		if len(bridges[f]) > 1 {
			r.between = append(r.between, without(bridges[f], r.between)...)
		}
	}
	return r
}

// routing is what the host is to forward for a lab with this record: without a table that holds its legs to what is theirs, what nat asks for
// alone, and that is an error then.
func (r *record) routing(l *topology.Lab) routing {
	need := routingOf(l)
	if r.NoTable && !hasNAT(l) {
		need.switches, need.legs, need.between = nil, nil, nil
	}
	return need
}

// needs reports whether the lab of a record needs the switch of a family. Those of older nsnets say no families.
func (r *record) needs(f bridge.Family) bool {
	return slices.Contains(r.Forwards, f) || r.NAT && len(r.Forwards) == 0
}

// hasNAT reports whether a bridge of the lab has its packets translated.
func hasNAT(l *topology.Lab) bool {
	return slices.ContainsFunc(l.Bridges, func(t topology.Bridge) bool { return !t.External && len(t.Addresses) > 0 && t.NAT })
}
