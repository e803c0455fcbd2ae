package lab

import (
	"net/netip"
	"slices"

	"github.com/nsnet/nsnet/lab/wiring"
)

// addLearned adds to the status of each node what its network namespace has beside what the file
// says: addresses that a DHCP client, a routing daemon or somebody by hand has set, and interfaces
// that were made in the node and have any.
func (o *observed) addLearned(nodes []NodeStatus) error {
	var places []wiring.Place
	for i := range nodes {
		if p := wiring.Place(nodes[i].Name); o.nodes[nodes[i].Name] != nil && o.wires[p] == nil {
			places = append(places, p)
		}
	}
	rest, err := wiring.Observe(o, places)
	if err != nil {
		return wireError(err)
	}
	for i := range nodes {
		net := o.wires[wiring.Place(nodes[i].Name)]
		if net == nil {
			net = rest[wiring.Place(nodes[i].Name)]
		}
		if net != nil {
			nodes[i].Interfaces = learned(nodes[i].Interfaces, net)
		}
	}
	return nil
}

// learned returns the interfaces of a node with the addresses that net has beside theirs. Those
// that the kernel sets by itself, link-local ones and the loopback's, are left out.
func learned(known []InterfaceStatus, net *wiring.Net) []InterfaceStatus {
	all := slices.Clone(known)
	for _, l := range net.Links {
		i := slices.IndexFunc(all, func(s InterfaceStatus) bool { return s.Name == l.Name })
		var found []string
		for _, a := range net.Addresses {
			if a.Index != l.Index || byItself(a.Prefix) || i >= 0 && slices.Contains(all[i].Addresses, a.Prefix.String()) {
				continue
			}
			found = append(found, a.Prefix.String())
		}
		switch {
		case len(found) == 0:
		case i < 0:
			all = append(all, InterfaceStatus{Name: l.Name, MAC: l.MAC.String(), MTU: l.MTU, Addresses: []string{}, Learned: found, Own: true})
		default:
			all[i].Learned = found
		}
	}
	return all
}

// byItself reports whether the kernel sets such an address without being asked.
func byItself(p netip.Prefix) bool {
	a := p.Addr()
	return a.IsLinkLocalUnicast() && a.Is6() || a.IsLoopback()
}
