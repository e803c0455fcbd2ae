package attach

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// space is what one network namespace shows.
type space struct {
	links     []rtnl.Link
	addresses []rtnl.InterfaceAddress
	routes    []rtnl.TableRoute
}

// user is who has an address on a bridge already.
type user struct {
	address netip.Addr
	who     string // "port veth12ab", "the host"
}

// observed is all that a decision depends on.
type observed struct {
	target space
	far    space // where the other end goes: the host, a fabric, the peer
	// Of the bridge, the macvlan's parent or the NIC:
	link    rtnl.Link
	users   []user
	pools   []netip.Prefix // of a lab's bridge
	taken   []netip.Addr   // addresses of the pools that the lab's file gives away
	gateway []netip.Prefix // the host's addresses on it
	resolv  []byte         // the target's resolv.conf, when it is to be changed
	place   string         // where it is to have one, from its root, when it has none
	pinned  bool           // the bridge has been given its MAC, which does not follow its ports' then
	masters map[int]string // names of bridges, by index
	// settings of the NIC that differ from the host's for new interfaces.
	settings []Setting
}

// look dumps a namespace. Routes are read where they matter.
func look(ns *os.File, routes bool) (space, error) {
	var s space
	c, err := rtnl.Dial(ns)
	if err != nil {
		return s, err
	}
	defer c.Close()
	if s.links, err = c.Links(); err != nil {
		return s, fmt.Errorf("list interfaces: %w", err)
	}
	if s.addresses, err = c.Addresses(rtnl.ThisNetns); err != nil {
		return s, fmt.Errorf("list addresses: %w", err)
	}
	if routes {
		if s.routes, err = c.Routes(); err != nil {
			return s, fmt.Errorf("list routes: %w", err)
		}
	}
	return s, nil
}

// link finds an interface by its name.
func (s *space) link(name string) (rtnl.Link, bool) {
	i := slices.IndexFunc(s.links, func(l rtnl.Link) bool { return l.Name == name })
	if i < 0 {
		return rtnl.Link{}, false
	}
	return s.links[i], true
}

// named is the name of the interface with this index.
func (s *space) named(index int) string {
	i := slices.IndexFunc(s.links, func(l rtnl.Link) bool { return l.Index == index })
	if i < 0 {
		return fmt.Sprintf("interface %d", index)
	}
	return s.links[i].Name
}

// users lists the addresses of the containers on a bridge: of the other ends of its ports,
// which are in their namespaces and known to the bridge's by a number. A port whose other end is
// no veth, such as a network card, leads to who knows whom.
func bridgeUsers(ns *os.File, s *space, bridge int) ([]user, error) {
	c, err := rtnl.Dial(ns)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var list []user
	for _, a := range s.addresses {
		if a.Index == bridge {
			list = append(list, user{a.Prefix.Addr(), "the bridge itself"})
		}
	}
	byNS := map[int][]rtnl.InterfaceAddress{rtnl.ThisNetns: s.addresses}
	for _, port := range s.links {
		if port.Master != bridge || port.Kind != "veth" {
			continue
		}
		addresses, ok := byNS[port.LowerNS]
		if !ok {
			if addresses, err = c.Addresses(port.LowerNS); err != nil {
				continue // the namespace is on its way out
			}
			byNS[port.LowerNS] = addresses
		}
		for _, a := range addresses {
			if a.Index == port.Lower {
				list = append(list, user{a.Prefix.Addr(), "what is plugged into its port " + port.Name})
			}
		}
	}
	return list, nil
}

// macIsSet tells whether a bridge of the host is known to have been given its MAC (NET_ADDR_SET in
// addr_assign_type). Sysfs may be another network namespace's: where it shows another interface by the name, nothing is known.
func macIsSet(l rtnl.Link) bool {
	const set = "3"
	dir := "/sys/class/net/" + l.Name + "/"
	read := func(name string) string {
		b, err := os.ReadFile(dir + name)
		if err != nil {
			return ""
		}
		return string(bytes.TrimSpace(b))
	}
	return read("ifindex") == strconv.Itoa(l.Index) && read("address") == l.MAC.String() && read("addr_assign_type") == set
}

// settings reads an interface's own kernel settings, those that a new interface would not have by
// itself.
func settings(name string) ([]Setting, error) {
	var list []Setting
	for _, family := range []string{"ipv4", "ipv6"} {
		dir := "/proc/sys/net/" + family + "/conf/"
		entries, err := os.ReadDir(dir + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			path := dir + name + "/" + e.Name()
			value, err := os.ReadFile(path)
			if err != nil || e.Name() == "mtu" {
				continue // unset, or write-only; the MTU is the interface's
			}
			if usual, err := os.ReadFile(dir + "default/" + e.Name()); err == nil && !bytes.Equal(usual, value) {
				list = append(list, Setting{path, string(bytes.TrimSpace(value))})
			}
		}
	}
	return list, nil
}
