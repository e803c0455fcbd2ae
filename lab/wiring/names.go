package wiring

import (
	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/topology"
)

// legPort is the fabric's end of the leg of a bridge.
func legPort(name string) string { return "_host" + bridge.Digest(name) }

// longestName is what the kernel takes for the name of an interface (IFNAMSIZ less one).
const longestName = 15

// Port is what a link's far end is called, which is no node's: in the fabric, or on the host where the bridge is one of the host's.
type Port struct {
	Name string
	// Alt is NODE.INTERFACE where that is too long to be the name. ip-link(8), altname.
	Alt string
}

// Ports gives each link's port a name: NODE.INTERFACE in the fabric, where that fits
// and no bridge has it, so that a capture there is easy to aim. No bridge has a name
// that begins with an underscore. A name says nothing of the other links there are: those stay when some
// are added or removed. Of a link between nodes it is empty.
func Ports(l *topology.Lab) []Port {
	ports := make([]Port, len(l.Links))
	bridges := make(map[string]*topology.Bridge, len(l.Bridges))
	for i := range l.Bridges {
		bridges[l.Bridges[i].Name] = &l.Bridges[i]
	}
	taken := make(map[string]int, len(l.Links)) // by whom
	for i := range l.Links {
		if l.Links[i].B.Node != "" {
			continue
		}
		e, p := &l.Links[i].A, &ports[i]
		if b := bridges[l.Links[i].B.Bridge]; b != nil && b.External {
			p.Name = bridge.PortName(l.Name, e.Node, e.Interface)
			continue
		}
		name := e.Node + "." + e.Interface
		// Node "a" with "b.c" and node "a.b" with "c" would be one.
		first, again := taken[name]
		if !again {
			taken[name] = i
		}
		if p.Name = name; len(name) > longestName || bridges[name] != nil || again {
			p.Name = "_port" + bridge.Digest(e.Node, e.Interface)
		}
		switch {
		case len(name) <= longestName:
		case again: // nobody's, whichever comes first
			ports[first].Alt = ""
		default:
			p.Alt = name
		}
	}
	return ports
}
