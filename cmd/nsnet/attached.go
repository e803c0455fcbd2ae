package main

import (
	"slices"
	"strings"

	"github.com/nsnet/nsnet/attach"
	"github.com/nsnet/nsnet/lab"
)

// ofNodes are the attachments to nodes that are meant, by either end.
func ofNodes(all []attach.Status, only selector) []attach.Status {
	meant := func(r attach.Ref) bool {
		l, n, ok := strings.Cut(r.Name, "/")
		return ok && r.Kind == attach.ByNode && only.matches(l, n)
	}
	out := []attach.Status{}
	for _, s := range all {
		if meant(s.Ref) || s.Peer != nil && meant(s.Peer.Ref) {
			out = append(out, s)
		}
	}
	return out
}

// withAttached adds attached interfaces to the nodes that have them, at either end of a cable.
func withAttached(labs []lab.Status, all []attach.Status) {
	for i := range labs {
		l := &labs[i]
		for _, s := range all {
			switch s.State {
			case attach.Gone:
				continue
			case attach.Unplugged:
				s.Via += ", of which it is unplugged"
			}
			addAttached(l, s.Ref, lab.InterfaceStatus{Name: s.Interface, MAC: s.MAC, MTU: s.MTU, Addresses: s.Addresses, Peer: s.Via, Port: s.Port, Attached: true})
			if p := s.Peer; p != nil {
				addAttached(l, p.Ref, lab.InterfaceStatus{Name: p.Interface, MAC: p.MAC, MTU: s.MTU, Addresses: p.Addresses, Peer: "a cable to " + s.Ref.String() + ":" + s.Interface, Port: s.Interface, Attached: true})
			}
		}
	}
}

// addAttached adds an interface to the node that it was attached to, where that is one of the lab's.
func addAttached(l *lab.Status, to attach.Ref, a lab.InterfaceStatus) {
	if to.Kind != attach.ByNode {
		return
	}
	for j := range l.Nodes {
		if n := &l.Nodes[j]; to.Name == l.Name+"/"+n.Name {
			n.Interfaces = append(slices.DeleteFunc(n.Interfaces, func(i lab.InterfaceStatus) bool {
				return i.Own && i.Name == a.Name // seen in the node, but not made there
			}), a)
		}
	}
}

// attachedTable is a row for each attached interface.
func attachedTable(all []attach.Status, color bool, width int) string {
	rows := [][]string{{"ATTACHED TO", "INTERFACE", "STATE", "PID", "VIA", "ADDRESSES"}}
	for _, s := range all {
		rows = append(rows, []string{
			plain(s.Target), plain(s.Interface), string(s.State), pidText(s.PID), plain(s.Via), orDash(plain(strings.Join(s.Addresses, ","))),
		})
	}
	return table(fit(rows, width, columns{lists: []int{5}, texts: []int{4, 0}}), func(column int, text string) string {
		if column == 2 && color {
			return colorState(text)
		}
		return text
	})
}
