package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

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
	names := externals(l)
	notes, err := bridge.BridgedNotes(names)
	if err != nil {
		notes = []string{err.Error()}
	}
	notes = append(notes, downBridges(l)...)
	return append(notes, strangeAddresses(l, HostBridge)...)
}

// downBridges tells of bridges of the host that a lab has links to and that are down.
func downBridges(l *topology.Lab) (notes []string) {
	for _, name := range externals(l) {
		if err := checkExternal(name); errors.Is(err, errBridgeDown) {
			notes = append(notes, err.Error())
		}
	}
	return notes
}

// strangeAddresses tells of addresses that the file gives to bridges of the host, and that these have not: the nodes' default routes
// lead to nobody then.
func strangeAddresses(l *topology.Lab, look func(string) (topology.HostBridge, bool)) []string {
	var notes []string
	for i := range l.Bridges {
		b := &l.Bridges[i]
		if !b.External || len(b.Addresses) == 0 {
			continue
		}
		host, there := look(b.Name)
		if !there {
			continue
		}
		for _, a := range b.Addresses {
			if !slices.ContainsFunc(host.Addresses, func(h netip.Prefix) bool { return h.Addr() == a.Addr() }) {
				notes = append(notes, fmt.Sprintf("bridge %s: the file gives it the address %s, which this host has not on it: nodes' default routes lead there; give it to the bridge, or take the host's into the file", b.Name, a.Addr()))
			}
		}
	}
	return notes
}

var errBridgeDown = errors.New("this bridge of the host is down")

// checkExternal returns what is wrong with a bridge of the host that a lab has links to: there is none of that name, or it is down.
func checkExternal(name string) error {
	if _, err := os.Stat(filepath.Join("/sys/class/net", name, "bridge")); err != nil {
		return &Error{Object: name, Err: fmt.Errorf("%w: the file says external: true, but this host has no bridge of that name", ErrNotFound), Remedy: "create it, or leave external out and the lab makes one of its own"}
	}
	flags, err := os.ReadFile(filepath.Join("/sys/class/net", name, "flags"))
	if err != nil {
		return &Error{Object: name, Err: err}
	}
	if f, err := strconv.ParseUint(strings.TrimSpace(string(flags)), 0, 32); err != nil || f&unix.IFF_UP == 0 {
		return &Error{Object: name, Err: errBridgeDown, Remedy: "bring it up with ip link set " + name + " up"}
	}
	return nil
}

// missing returns those of the host's bridges that a lab has links to and that are not there.
func missing(l *topology.Lab) []string {
	return slices.DeleteFunc(externals(l), func(name string) bool { return !errors.Is(checkExternal(name), ErrNotFound) })
}

// withoutBridges returns what a lab is to be while some of the host's bridges are gone: nobody knows what MTU they have, so they and
// their links, but for those with an MTU of their own, are as they were.
func withoutBridges(want, was *topology.Lab, gone []string) *topology.Lab {
	l := *want
	l.Bridges, l.Links = slices.Clone(want.Bridges), slices.Clone(want.Links)
	guessed := map[string]int{}
	for i := range l.Bridges {
		b := &l.Bridges[i]
		h := slices.IndexFunc(was.Bridges, func(h topology.Bridge) bool { return h.Name == b.Name })
		if h >= 0 && slices.Contains(gone, b.Name) {
			guessed[b.Name] = b.MTU
			b.MTU, b.HostMTU = was.Bridges[h].MTU, was.Bridges[h].HostMTU
		}
	}
	for i := range l.Links {
		k := &l.Links[i]
		h := slices.IndexFunc(was.Links, func(h topology.Link) bool {
			return h.A.Node == k.A.Node && h.A.Interface == k.A.Interface && h.B.Bridge == k.B.Bridge
		})
		if h >= 0 && guessed[k.B.Bridge] == k.A.MTU {
			k.A.MTU = was.Links[h].A.MTU
		}
	}
	return &l
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
