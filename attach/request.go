package attach

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/ipam"
)

// TargetKind says by what a target is known.
type TargetKind string

// The ways to name a target.
const (
	ByPID       TargetKind = "pid"
	ByNetns     TargetKind = "netns"     // a path
	ByContainer TargetKind = "container" // of Docker or podman
	ByNode      TargetKind = "node"      // of a lab
)

// Ref names a target.
type Ref struct {
	Kind TargetKind `json:"kind"`
	Name string     `json:"name"` // the pid in decimal, the path, the container, LAB/NODE
}

// String is the target in words: "container web".
func (r Ref) String() string {
	switch r.Kind {
	case ByPID:
		return "process " + r.Name
	case ByNetns:
		return "network namespace " + r.Name
	}
	return string(r.Kind) + " " + r.Name
}

// ViaKind says what an interface is connected with.
type ViaKind string

// What an interface can be connected with.
const (
	ViaHost    ViaKind = "host"    // the host, point to point
	ViaBridge  ViaKind = "bridge"  // a bridge, of the host or of a lab
	ViaPeer    ViaKind = "peer"    // a second target, point to point
	ViaMACVLAN ViaKind = "macvlan" // an interface of the host, shared
	ViaNIC     ViaKind = "nic"     // an interface of the host, lent
)

// Via is what an interface is connected with.
type Via struct {
	Kind      ViaKind        `json:"kind"`
	Name      string         `json:"name,omitempty"` // of the bridge, the macvlan's parent, the NIC
	Lab       string         `json:"lab,omitempty"`  // whose bridge it is; empty: the host's
	Mode      string         `json:"mode,omitempty"` // of a macvlan
	Peer      Ref            `json:"peer,omitzero"`
	Interface string         `json:"interface,omitempty"` // the peer's
	Addresses []netip.Prefix `json:"addresses,omitempty"` // of the other end, the peer's or the host's
}

// String is it in words: "bridge docker0".
func (v Via) String() string {
	switch v.Kind {
	case ViaHost:
		return "the host, point to point"
	case ViaPeer:
		return "a cable to " + v.Peer.String() + ":" + v.Interface
	case ViaBridge:
		if v.Lab != "" {
			return "bridge " + v.Lab + "/" + v.Name
		}
		return "bridge " + v.Name
	case ViaMACVLAN:
		return "a macvlan of " + v.Name
	}
	return "the host's " + v.Name
}

// Route is one more route of the target.
type Route struct {
	To  netip.Prefix `json:"to"`
	Via netip.Addr   `json:"via,omitzero"`
}

// Request is what is wanted. The zero value of what follows Via leaves it out, or to nsnet.
type Request struct {
	Target       Ref            `json:"target"`
	Interface    string         `json:"interface"`
	Via          Via            `json:"via"`
	Addresses    []netip.Prefix `json:"addresses,omitempty"`
	Auto         bool           `json:"auto,omitempty"` // an address of each pool of a lab's bridge
	Gateways     []netip.Addr   `json:"gateways,omitempty"`
	DefaultRoute bool           `json:"default_route,omitempty"`
	Metric       int            `json:"metric,omitempty"`
	Routes       []Route        `json:"routes,omitempty"`
	MAC          string         `json:"mac,omitempty"`
	MTU          int            `json:"mtu,omitempty"`
	VLAN         int            `json:"vlan,omitempty"`
	DNS          []netip.Addr   `json:"dns,omitempty"`
}

// Check finds what is wrong with a request by itself, all of it.
func (r *Request) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := checkName(r.Interface); err != nil {
		bad("--ifname: %w", err)
	}
	for _, p := range r.Addresses {
		if err := checkAddress(p); err != nil {
			bad("--ip %s: %w", p, err)
		}
	}
	for _, p := range r.Via.Addresses {
		if err := checkAddress(p); err != nil {
			bad("--peer-ip %s: %w", p, err)
		}
	}
	if a, twice := duplicate(r.Addresses, r.Via.Addresses); twice {
		bad("address %s is given twice", a)
	}
	errs = append(errs, r.checkVia()...)
	errs = append(errs, r.checkRoutes()...)
	if r.MAC != "" {
		m, err := net.ParseMAC(r.MAC)
		switch {
		case err != nil || len(m) != 6:
			bad("--mac %q: not a hardware address of six bytes", r.MAC)
		case m[0]&1 != 0:
			bad("--mac %s: a multicast address; the first byte of an interface's is even", r.MAC)
		case m.String() == "00:00:00:00:00:00":
			bad("--mac %s: no interface can have it", r.MAC)
		}
	}
	if r.MTU != 0 && (r.MTU < 68 || r.MTU > 65535) {
		bad("--mtu %d: from 68 to 65535", r.MTU)
	}
	if r.MTU != 0 && r.MTU < 1280 && hasIPv6(r.Addresses) {
		bad("--mtu %d: IPv6 needs 1280", r.MTU)
	}
	if r.VLAN < 0 || r.VLAN > 4094 {
		bad("--vlan %d: from 1 to 4094", r.VLAN)
	}
	return errors.Join(errs...)
}

func (r *Request) checkVia() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	v := &r.Via
	if v.Kind == ViaPeer {
		if err := checkName(v.Interface); err != nil {
			bad("--peer-ifname: %w", err)
		}
		if v.Peer == r.Target && v.Interface == r.Interface {
			bad("both ends are %s of %s", v.Interface, v.Peer)
		}
	}
	pointToPoint := v.Kind == ViaPeer || v.Kind == ViaHost
	if !pointToPoint && len(v.Addresses) > 0 {
		bad("--peer-ip is of the other end of a point-to-point link, and there is none with %s", *v)
	}
	for _, six := range []bool{false, true} {
		mine, theirs := ofFamily(r.Addresses, six), ofFamily(v.Addresses, six)
		switch {
		case !pointToPoint || len(mine) == 0 && len(theirs) == 0:
		case len(theirs) == 0 && v.Kind == ViaHost:
			bad("--ip %s: the host's end needs an address, too: give --peer-ip, or plug into a bridge with --bridge", mine[0])
		case len(theirs) == 0:
			bad("--ip %s: the other end needs an address of the same family: give --peer-ip", mine[0])
		case len(mine) == 0:
			bad("--peer-ip %s: this end needs an address of the same family: give --ip", theirs[0])
		}
	}
	if r.Auto && (v.Kind != ViaBridge || v.Lab == "") {
		bad("--ip auto takes an address of the pool of a lab's bridge: give --bridge LAB/BRIDGE")
	}
	if r.VLAN != 0 && v.Kind != ViaBridge {
		bad("--vlan is of a bridge's port: give --bridge")
	}
	if r.MAC != "" && v.Kind == ViaMACVLAN && v.Mode == "passthru" {
		bad("--mac: a macvlan in mode passthru has its parent's")
	}
	return errs
}

func (r *Request) checkRoutes() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	var four, six int
	for _, g := range r.Gateways {
		if g.Is4() {
			four++
		} else {
			six++
		}
	}
	if four > 1 || six > 1 {
		bad("--gateway: one of each family at the most")
	}
	if r.Metric < 0 || int64(r.Metric) > 1<<31-1 {
		bad("--metric %d: from 0 to 2147483647", r.Metric)
	}
	if r.Metric != 0 && !r.DefaultRoute {
		bad("--metric is the default route's: give --default-route")
	}
	seen := map[netip.Prefix]bool{}
	for _, t := range r.Routes {
		switch {
		case t.To != t.To.Masked():
			bad("--route %s: has host bits set; the prefix is %s", t.To, t.To.Masked())
		case t.To.Bits() == 0:
			bad("--route %s: for the default route give --default-route", t.To)
		case t.Via.IsValid() && t.Via.Is4() != t.To.Addr().Is4():
			bad("--route %s,%s: two families", t.To, t.Via)
		case seen[t.To]:
			bad("--route %s: given twice", t.To)
		}
		seen[t.To] = true
	}
	return errs
}

// checkName tells whether an interface can have this name. The kernel refuses some, and
// takes "%d" for a number of its own.
func checkName(name string) error {
	const longest = 15
	switch {
	case name == "":
		return errors.New("empty")
	case len(name) > longest:
		return fmt.Errorf("%q has %d bytes, Linux allows %d", name, len(name), longest)
	case name == "lo" || name == "all" || name == "default" || name == "." || name == "..":
		return fmt.Errorf("%q is not a name for an interface", name)
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("_.-", rune(c))) {
			return fmt.Errorf("%q: letters, digits, and behind the first also . _ -", name)
		}
	}
	return nil
}

func checkAddress(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case a.Is4In6():
		return errors.New("an IPv4 address mapped into IPv6: write it as IPv4")
	case a.IsMulticast() || a.IsLoopback() || a.IsUnspecified():
		return errors.New("not an address that an interface can have")
	case !ipam.Usable(p):
		return fmt.Errorf("the network's own, broadcast or anycast address of %s", p.Masked())
	}
	return nil
}

func duplicate(lists ...[]netip.Prefix) (netip.Addr, bool) {
	seen := map[netip.Addr]bool{}
	for _, l := range lists {
		for _, p := range l {
			if seen[p.Addr()] {
				return p.Addr(), true
			}
			seen[p.Addr()] = true
		}
	}
	return netip.Addr{}, false
}

func ofFamily(l []netip.Prefix, six bool) (out []netip.Prefix) {
	for _, p := range l {
		if p.Addr().Is6() == six {
			out = append(out, p)
		}
	}
	return out
}

func hasIPv6(l []netip.Prefix) bool { return len(ofFamily(l, true)) > 0 }

// needsIPv6 reports whether anything of a request is IPv6.
func (r *Request) needsIPv6() bool {
	return hasIPv6(r.Addresses) || hasIPv6(r.Via.Addresses) || slices.ContainsFunc(r.Gateways, netip.Addr.Is6) ||
		slices.ContainsFunc(r.Routes, func(t Route) bool { return t.To.Addr().Is6() })
}
