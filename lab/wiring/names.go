package wiring

import (
	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/topology"
)

// legPort is the fabric's end of the leg of a bridge.
func legPort(name string) string { return "_host" + bridge.Digest(name) }

// portNames gives each link's port in the fabric a name: NODE.INTERFACE where that fits
// and no bridge has it, so that a capture in the fabric is easy to aim. No bridge has a name
// that begins with an underscore. A name says nothing of the other links there are: those stay when some
// are added or removed.
func portNames(l *topology.Lab) []string {
	const longest = 15
	names := make([]string, len(l.Links))
	bridges := make(map[string]bool, len(l.Bridges))
	for i := range l.Bridges {
		bridges[l.Bridges[i].Name] = true
	}
	taken := make(map[string]bool, len(l.Links))
	for i := range l.Links {
		e := &l.Links[i].A
		name := e.Node + "." + e.Interface
		// Node "a" with "b.c" and node "a.b" with "c" would be one.
		if len(name) > longest || bridges[name] || taken[name] {
			name = "_port" + bridge.Digest(e.Node, e.Interface)
		}
		names[i], taken[name] = name, true
	}
	return names
}
