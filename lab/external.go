package lab

import (
	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/topology"
)

// HostBridge looks at a bridge of the host, in the caller's network namespace, for topology.Options.
func HostBridge(name string) (topology.HostBridge, bool) {
	var h topology.HostBridge
	c, err := rtnl.Dial(nil)
	if err != nil {
		return h, false
	}
	defer c.Close()
	l, err := c.LinkNamed(name)
	if err != nil || l.Kind != "bridge" {
		return h, false // up says so
	}
	h.MTU = l.MTU
	all, err := c.Addresses(rtnl.ThisNetns)
	if err != nil {
		return h, false
	}
	for _, a := range all {
		if a.Index == l.Index {
			h.Addresses = append(h.Addresses, a.Prefix)
		}
	}
	return h, true
}

// Notes returns what a user should know of the host before or after a lab is up, and has to mend there.
func Notes(l *topology.Lab) []string {
	notes, err := bridge.BridgedNotes(externals(l))
	if err != nil {
		return []string{err.Error()}
	}
	return notes
}

// externals are the host's bridges that a lab has links to.
func externals(l *topology.Lab) []string {
	external := map[string]bool{}
	for i := range l.Bridges {
		if b := &l.Bridges[i]; b.External {
			external[b.Name] = true
		}
	}
	if len(external) == 0 {
		return nil
	}
	var names []string
	for i := range l.Links {
		if b := l.Links[i].B.Bridge; external[b] {
			names = append(names, b)
			delete(external, b)
		}
	}
	return names
}
