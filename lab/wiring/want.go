package wiring

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/topology"
)

// Place is a network namespace that a lab has something in: a node's, by the node's name, or one of these.
type Place string

// Places that are no node's.
const (
	Fabric Place = ""
	Host   Place = "@host"
)

// Want is what a lab's network namespaces should look like.
type Want struct {
	Lab     string
	Bridges []Bridge // of the fabric
	Cables  []Cable
	Nodes   []Node
	cut     map[end]bool // of cables that Without has left out
}

// Bridge is a bridge of the fabric.
type Bridge struct {
	Name string
	MAC  string
	MTU  int
	STP  bool
}

// Cable is a veth pair. A link of a node to another, or to a bridge, or the leg by which a
// bridge reaches the host.
type Cable struct {
	Name string // "web:eth0 -- lan0"
	Leg  bool
	A, B End // B is the host's end where there is one; A the fabric's end of a leg
}

// End is an interface, one end of a cable.
type End struct {
	Place     Place
	Name      string
	AltName   string // one more name, longer than a name can be; or empty
	MAC       string // empty: the kernel's choice
	MTU       int
	Master    string // the bridge, in the same place, that it is a port of
	Alias     string
	Addresses []netip.Prefix
	Routes    []Route     // of the host, by a leg, to what is behind routers of the lab
	Forward   bool        // a port that forwards as soon as it is up
	Learns    bool        // a port of a bridge with the spanning tree protocol, which forwards some seconds later, or never
	Sysctls   [][2]string // of a node's end, which it has before it comes up
}

// Node is what a node's network namespace has besides interfaces.
type Node struct {
	Name     string
	Routes   []Route
	Loopback []netip.Prefix // what lo has when it is up
}

// Route is a route of a node. Via or Dev is set, or both.
type Route struct {
	To     netip.Prefix
	Via    netip.Addr
	Dev    string
	Metric int
	OnLink bool // Via is on no subnet or route of Dev, and asked for there all the same
}

// Mark begins the ifalias of every interface of a lab in the host's network namespace. What
// does not bear it is not touched.
func Mark(lab string) string { return "nsnet:" + lab + ":" }

// Attached reports whether an ifalias is of an interface that attach has made, whose record has an id of ten hexadecimal digits. All others
// that begin like it are of a lab by the name attach.
func Attached(alias string) bool {
	id, ok := strings.CutPrefix(alias, "nsnet:attach:")
	return ok && len(id) == 10 && strings.Trim(id, "0123456789abcdef") == ""
}

// LegOf returns whose leg on the host an interface with this alias is: the lab's, to this bridge. Nothing: it is none.
func LegOf(alias string) (lab, bridge string) {
	lab, bridge, _ = strings.Cut(strings.TrimPrefix(alias, "nsnet:"), ":")
	if lab == "attach" || strings.Contains(bridge, ":") || Mark(lab)+bridge != alias {
		return "", ""
	}
	return lab, bridge
}

// Of tells what a lab wants. Without ipv6, which a kernel can lack, no interface has a
// link-local address.
func Of(l *topology.Lab, ipv6 bool) *Want {
	w := &Want{Lab: l.Name}
	bridges := make(map[string]*topology.Bridge, len(l.Bridges))
	for i := range l.Bridges {
		b := &l.Bridges[i]
		bridges[b.Name] = b
		if b.External {
			continue
		}
		w.Bridges = append(w.Bridges, Bridge{Name: b.Name, MAC: b.MAC, MTU: b.MTU, STP: b.STP})
		if len(b.Addresses) == 0 {
			continue
		}
		w.Cables = append(w.Cables, Cable{
			Name: "the host -- " + b.Name, Leg: true,
			A: End{Place: Fabric, Name: legPort(b.Name), MTU: b.MTU, Master: b.Name, Forward: !b.STP, Learns: b.STP},
			B: End{Place: Host, Name: bridge.LegName(l.Name, b.Name), MAC: b.HostMAC, MTU: b.MTU, Alias: Mark(l.Name) + b.Name, Addresses: b.Addresses},
		})
	}
	nodes := make(map[string]int, len(l.Nodes))
	w.Nodes = make([]Node, len(l.Nodes))
	for i := range l.Nodes {
		nodes[l.Nodes[i].Name] = i
		w.Nodes[i].Name = l.Nodes[i].Name
		w.Nodes[i].Loopback = loopback(&l.Nodes[i], ipv6)
	}
	end := func(e *topology.Endpoint) End {
		n := nodes[e.Node]
		for _, p := range e.Peers {
			w.Nodes[n].Routes = append(w.Nodes[n].Routes, Route{To: p, Dev: e.Interface})
		}
		addresses := e.Addresses
		if ll, ok := linkLocal(e.MAC); ok && ipv6 && hasIPv6(&l.Nodes[n], e) {
			addresses = append(addresses[:len(addresses):len(addresses)], ll)
		}
		return End{Place: Place(e.Node), Name: e.Interface, MAC: e.MAC, MTU: e.MTU, Addresses: addresses, Sysctls: InterfaceSysctls(&l.Nodes[n], e.Interface)}
	}
	ports := Ports(l)
	for i := range l.Links {
		k := &l.Links[i]
		c := Cable{Name: LinkName(k), A: end(&k.A)}
		switch b := bridges[k.B.Bridge]; {
		case k.B.Node != "":
			c.B = end(&k.B)
		case b != nil && b.External:
			c.B = End{Place: Host, Name: ports[i].Name, MAC: portMAC(k.A.MAC), MTU: max(k.A.MTU, b.HostMTU), Master: k.B.Bridge, Forward: true,
				Alias: Mark(l.Name) + k.A.Node + ":" + k.A.Interface}
		default:
			c.B = End{Place: Fabric, Name: ports[i].Name, AltName: ports[i].Alt, MTU: k.A.MTU, Master: k.B.Bridge, Forward: b != nil && !b.STP, Learns: b != nil && b.STP}
		}
		w.Cables = append(w.Cables, c)
	}
	w.routes(l)
	w.behind(l)
	return w
}

// portMAC returns the hardware address of a port on a bridge of the host, "" where mac is none. A bridge
// whose address nobody has set takes the least of its ports': this one is above that of any card, so that
// the host's own stays while labs come and go. libvirt does the same.
func portMAC(mac string) string {
	if len(mac) < 2 {
		return ""
	}
	first := "fe"
	if mac[:2] == first { // that of the other end
		first = "fa"
	}
	return first + mac[2:]
}

// routes adds those of the file. The interface by which a gateway is reached is said, where the kernel would take the one that
// has come first, as the interfaces of a lab that was changed have not come in the order of the file. Routes without
// a gateway come first: the kernel wants one by which it reaches a gateway, and that is never one by another gateway.
func (w *Want) routes(l *topology.Lab) {
	ends := make(map[Place][]ending)
	for i := range w.Cables {
		k := &w.Cables[i]
		ends[k.A.Place] = append(ends[k.A.Place], ending{&k.A, &k.B})
		ends[k.B.Place] = append(ends[k.B.Place], ending{&k.B, &k.A})
	}
	for i := range l.Nodes {
		n, here := &w.Nodes[i], ends[Place(l.Nodes[i].Name)]
		for _, r := range l.Nodes[i].Routes {
			route := Route{To: r.To, Via: r.Via, Dev: r.Dev, Metric: r.Metric}
			if route.Dev == "" {
				route.Dev = toward(route.Via, here)
			}
			n.Routes = append(n.Routes, route)
		}
		slices.SortStableFunc(n.Routes, func(a, b Route) int { return rank(&a) - rank(&b) })
		for j := range n.Routes {
			n.Routes[j].OnLink = onLink(&n.Routes[j], n.Routes, here)
		}
	}
}

// ending is an end of a cable and the other one.
type ending struct{ own, far *End }

func rank(r *Route) int {
	if r.Via.IsValid() {
		return 1
	}
	return 0
}

// toward is the interface whose subnet has an address, the smallest subnet and the first of those, else the first at whose
// other end the address is, empty for none.
func toward(via netip.Addr, ends []ending) (dev string) {
	bits := -1
	for _, e := range ends {
		for _, a := range e.own.Addresses {
			if a.Masked().Contains(via) && !a.Addr().IsLinkLocalUnicast() && a.Bits() > bits {
				dev, bits = e.own.Name, a.Bits()
			}
		}
	}
	for _, e := range ends {
		if dev == "" && slices.ContainsFunc(e.far.Addresses, func(a netip.Prefix) bool { return a.Addr() == via && !via.IsLinkLocalUnicast() }) {
			dev = e.own.Name
		}
	}
	return dev
}

// onLink tells whether the kernel has to be told that the gateway of a route is on the link of its interface: neither a subnet of
// that nor a route through it without a gateway has it.
func onLink(r *Route, all []Route, ends []ending) bool {
	if r.Dev == "" || !r.Via.IsValid() || r.Via.IsLinkLocalUnicast() {
		return false
	}
	return !slices.ContainsFunc(ends, func(e ending) bool {
		return e.own.Name == r.Dev && slices.ContainsFunc(e.own.Addresses, func(a netip.Prefix) bool { return a.Masked().Contains(r.Via) })
	}) && !slices.ContainsFunc(all, func(o Route) bool {
		return !o.Via.IsValid() && o.Dev == r.Dev && o.To.Contains(r.Via)
	})
}

// LinkName is a link in the words of the file: "web:eth0 -- lan0".
func LinkName(k *topology.Link) string {
	other := k.B.Bridge
	if other == "" {
		other = k.B.Node + ":" + k.B.Interface
	}
	return k.A.Node + ":" + k.A.Interface + " -- " + other
}

// loopback is what the kernel gives lo when it comes up.
func loopback(n *topology.Node, ipv6 bool) []netip.Prefix {
	all := []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8)}
	if lo := (topology.Endpoint{Interface: "lo", MTU: 65536}); ipv6 && hasIPv6(n, &lo) {
		all = append(all, netip.PrefixFrom(netip.IPv6Loopback(), 128))
	}
	return all
}

// leastIPv6 is the least MTU that IPv6 needs, below which the kernel has none on an interface. RFC 8200 section 5.
const leastIPv6 = 1280

// hasIPv6 tells whether an interface can have a link-local address: it has one then, as
// routing protocols and neighbour discovery expect.
func hasIPv6(n *topology.Node, e *topology.Endpoint) bool {
	for _, k := range []string{"all", "default", e.Interface} {
		if v, set := n.Sysctls["net.ipv6.conf."+k+".disable_ipv6"]; set && v != "0" {
			return false
		}
	}
	return e.MTU >= leastIPv6
}

// linkLocal is the address that a MAC gives. RFC 4291 appendix A.
func linkLocal(mac string) (netip.Prefix, bool) {
	m, err := net.ParseMAC(mac)
	if err != nil || len(m) != 6 {
		return netip.Prefix{}, false
	}
	a := netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
	return netip.PrefixFrom(a, 64), true
}
