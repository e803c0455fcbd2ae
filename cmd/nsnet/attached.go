package main

import (
	"slices"
	"strings"

	"github.com/nsnet/nsnet/attach"
	"github.com/nsnet/nsnet/lab"
)

// ofLab are the attachments to nodes of a lab.
func ofLab(all []attach.Status, name string) []attach.Status {
	out := []attach.Status{}
	for _, s := range all {
		if l, _, ok := strings.Cut(s.Ref.Name, "/"); ok && s.Ref.Kind == attach.ByNode && l == name {
			out = append(out, s)
		}
	}
	return out
}

// withAttached adds attached interfaces to the nodes that have them.
func withAttached(labs []lab.Status, all []attach.Status) {
	for i := range labs {
		l := &labs[i]
		for _, s := range ofLab(all, l.Name) {
			for j := range l.Nodes {
				if n := &l.Nodes[j]; s.Ref.Name == l.Name+"/"+n.Name && s.State == attach.Attached {
					n.Interfaces = append(slices.DeleteFunc(n.Interfaces, func(i lab.InterfaceStatus) bool {
						return i.Own && i.Name == s.Interface // seen in the node, but not made there
					}), lab.InterfaceStatus{
						Name: s.Interface, MAC: s.MAC, MTU: s.MTU, Addresses: s.Addresses, Peer: s.Via, Port: s.Port, Attached: true,
					})
				}
			}
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
