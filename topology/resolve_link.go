package topology

import (
	"errors"
	"net/netip"

	"go.yaml.in/yaml/v4"

	"github.com/nsnet/nsnet/ipam"
)

// wire is a link while it is worked out.
type wire struct {
	link   Link
	n      *yaml.Node
	bridge int // index, or -1 for a link of two nodes
	spec   [2]*endSpec
	fixed  [2][]prefixSpec
	given  [2]bool // the file says the end's addresses, perhaps that it has none
}

func (w *wire) end(side int) *Endpoint {
	if side == 0 {
		return &w.link.A
	}
	return &w.link.B
}

// sides is how many ends are nodes'.
func (w *wire) sides() int {
	if w.bridge >= 0 {
		return 1
	}
	return 2
}

// connect looks up the ends of all links.
func (r *resolver) connect() {
	taken := make(map[[2]string]*yaml.Node, 2*len(r.f.links))
	for i := range r.f.links {
		l := &r.f.links[i]
		if r.d.halted {
			return
		}
		ends := [2]*endSpec{&l.ends[0], &l.ends[1]}
		known := r.known(ends[0])
		if !r.known(ends[1]) || !known {
			continue
		}
		if ends[0].bridge.n != nil {
			if ends[1].bridge.n != nil {
				r.d.errorf(l.endsNode, "a link of two bridges: one end has to be a node's")
				continue
			}
			ends[0], ends[1] = ends[1], ends[0]
		}
		w := wire{n: l.n, bridge: -1, spec: ends}
		if ends[1].bridge.n != nil {
			w.bridge = r.bridges[ends[1].bridge.v]
			w.link.B.Bridge = ends[1].bridge.v
			r.plug(ends[1])
		}
		twice := false
		for side := range w.sides() {
			e := ends[side]
			key := [2]string{e.node.v, e.iface.v}
			if first, ok := taken[key]; ok {
				r.d.errorf(e.iface.n, "interface %s of node %s is on a link already (line %d)", e.iface.v, e.node.v, first.Line)
				twice = true
			} else {
				taken[key] = e.iface.n
			}
			ep := w.end(side)
			ep.Node, ep.Interface = e.node.v, e.iface.v
		}
		if twice {
			continue
		}
		r.fixed(l, &w)
		r.mtu(l, &w)
		for side := range w.sides() {
			node := r.nodes[ends[side].node.v]
			r.ends[node] = append(r.ends[node], len(r.wires))
		}
		r.wires = append(r.wires, w)
	}
}

// known tells whether an end's node or bridge exists.
func (r *resolver) known(e *endSpec) bool {
	if e.node.n != nil {
		if _, ok := r.nodes[e.node.v]; ok {
			return true
		}
		if _, ok := r.bridges[e.node.v]; ok {
			r.d.errorf(e.node.n, "%q is a bridge: its end of a link is its name alone (did you mean %q?)", e.node.v, e.node.v)
		} else {
			r.d.errorf(e.node.n, "unknown node %q%s", e.node.v, r.suggestNode(e.node.v))
		}
		return false
	}
	if _, ok := r.bridges[e.bridge.v]; ok {
		return true
	}
	if _, ok := r.nodes[e.bridge.v]; ok {
		r.d.errorf(e.bridge.n, "endpoint %q is a node without an interface (did you mean \"%s:eth0\"?)", e.bridge.v, e.bridge.v)
	} else {
		r.d.errorf(e.bridge.n, "unknown bridge %q%s", e.bridge.v, r.suggestBridge(e.bridge.v))
	}
	return false
}

// plug counts a bridge's ports.
func (r *resolver) plug(e *endSpec) {
	net := &r.nets[r.bridges[e.bridge.v]]
	if net.ports++; net.ports == maxPorts+1 {
		r.d.errorf(e.n, "bridge %s has more than %d ports, the host's leg counted: Linux allows no more; use several bridges",
			e.bridge.v, maxPorts)
	}
}

// fixed gathers the addresses that the file gives to a link's ends.
func (r *resolver) fixed(l *linkSpec, w *wire) {
	for side := range w.sides() {
		if a := w.spec[side].addresses; a.n != nil {
			w.fixed[side], w.given[side] = a.v, true
		}
	}
	link := l.address.n
	if l.addresses.n != nil {
		if link != nil {
			r.d.errorf(l.address.n, "address and addresses mean the same; give one of them")
		}
		link = l.addresses.n
	}
	switch {
	case link == nil:
	case w.given[0] || w.given[1]:
		r.d.errorf(link, "the link's endpoints have addresses of their own; give them in one place")
	case w.bridge >= 0 && l.addresses.n != nil:
		w.fixed[0] = each(r.d, l.addresses.v, func(n *yaml.Node) (prefixSpec, bool) { return r.d.address(n, "address") })
		w.given[0] = true
	case w.bridge >= 0:
		w.fixed[0], w.given[0] = l.address.v, true
	case l.addresses.n == nil:
		r.d.errorf(l.address.n, "a link of two nodes takes addresses, a list with one for each end")
	case len(l.addresses.v) == 0:
	case len(l.addresses.v) != 2:
		r.d.errorf(l.addresses.n, "addresses of a link of two nodes has an entry for each end, not %d; an entry may be a list", len(l.addresses.v))
	default:
		// The link may have been turned round to have a bridge second, but only then.
		for side := range 2 {
			w.fixed[side] = r.d.addresses(l.addresses.v[side], "address").v
			w.given[side] = true
		}
	}
}

// mtu decides the MTU of a link's ends: an end's own, the link's, the bridge's.
func (r *resolver) mtu(l *linkSpec, w *wire) {
	for side := range w.sides() {
		mtu, most := defaultMTU, maxMTU
		if w.bridge >= 0 {
			mtu, most = r.mostMTU(w.bridge)
		}
		from := w.spec[side].mtu.or(l.mtu)
		if from.n != nil {
			mtu = from.v
		}
		if mtu > most {
			r.d.errorf(from.n, "mtu %d is larger than that of bridge %s, which is %d", mtu, w.link.B.Bridge, most)
		}
		w.end(side).MTU = mtu
	}
}

// address decides the addresses of all ends: the fixed ones are set aside on all links,
// then pools are used in the order of links.
func (r *resolver) address() {
	for i := range r.wires {
		r.placeFixed(&r.wires[i])
	}
	for i := range r.wires {
		w := &r.wires[i]
		if r.d.halted {
			return
		}
		if w.bridge >= 0 {
			r.allocate(w)
		} else {
			r.pair(w)
		}
		for side := range w.sides() {
			r.finish(w, side)
		}
	}
}

func (r *resolver) placeFixed(w *wire) {
	for side := range w.sides() {
		e := w.end(side)
		for _, a := range w.fixed[side] {
			if w.bridge >= 0 {
				b := &r.nets[w.bridge]
				if pool := b.pool(a.p.Addr()); pool != nil && pool.Subnet() != a.p.Masked() && !a.p.Addr().IsLinkLocalUnicast() {
					r.outside(a, "bridge "+w.link.B.Bridge, pool.Subnet())
					continue
				}
			}
			if !r.claim(a.p.Addr(), "node "+e.Node, a.n) {
				continue
			}
			if w.bridge >= 0 {
				if pool := r.nets[w.bridge].pool(a.p.Addr()); pool != nil && pool.Subnet().Contains(a.p.Addr()) {
					_ = pool.Reserve(a.p.Addr()) // claimed just now, so it is free
				}
			}
			e.Addresses = append(e.Addresses, a.p)
		}
	}
}

// allocate gives a bridge port's interface an address from each pool whose family the file
// gives it no address of. An empty list of addresses asks for none at all.
func (r *resolver) allocate(w *wire) {
	if w.given[0] && len(w.fixed[0]) == 0 {
		return
	}
	var has [2]bool
	for _, a := range w.fixed[0] {
		if !a.p.Addr().IsLinkLocalUnicast() {
			has[family(a.p.Addr())] = true
		}
	}
	for f, pool := range r.nets[w.bridge].pools {
		if pool == nil || has[f] || f == 1 && r.ipv6Off(&w.link.A) != "" {
			continue
		}
		for {
			p, err := pool.Next()
			var full *ipam.ExhaustedError
			if errors.As(err, &full) {
				r.d.errorf(w.n, "bridge %s: %v for %s of node %s", w.link.B.Bridge, err, w.link.A.Interface, w.link.A.Node)
				break
			}
			// An address of the pool may be fixed on a link elsewhere.
			if _, ok := r.owners[p.Addr()]; ok {
				continue
			}
			r.owners[p.Addr()] = owner{"node " + w.link.A.Node, w.n}
			w.link.A.Addresses = append(w.link.A.Addresses, p)
			break
		}
	}
}

// pair completes a link of two nodes: an end without a subnet gets a route to the other end. Ends whose subnets are not the same reach
// each other by routes alone, which is legal and may be a slip.
func (r *resolver) pair(w *wire) {
	for side := range 2 {
		e, other := w.end(side), w.end(1-side)
		for i, a := range e.Addresses {
			if a.IsSingleIP() {
				continue
			}
			var same, inside bool
			for _, b := range other.Addresses {
				if family(b.Addr()) == family(a.Addr()) && !b.Addr().IsLinkLocalUnicast() {
					same = true
					inside = inside || a.Contains(b.Addr())
				}
			}
			if same && !inside && !a.Addr().IsLinkLocalUnicast() {
				n := w.n
				if len(w.fixed[side]) == len(e.Addresses) {
					n = w.fixed[side][i].n
				}
				r.d.warnf(n, "address %s of node %s: the other end, node %s, has no address in %s",
					a, e.Node, other.Node, a.Masked())
			}
		}
		e.Peers = peers(e.Addresses, other.Addresses)
	}
}

// peers are the addresses of the other end that an end with a /32 (or /128) cannot reach
// without a route: all of that family.
func peers(own, other []netip.Prefix) []netip.Prefix {
	var alone [2]bool
	for _, a := range own {
		alone[family(a.Addr())] = alone[family(a.Addr())] || a.IsSingleIP()
	}
	var out []netip.Prefix
	for _, b := range other {
		if alone[family(b.Addr())] && !b.Addr().IsLinkLocalUnicast() && !covered(own, b.Addr()) {
			out = append(out, netip.PrefixFrom(b.Addr(), b.Addr().BitLen()))
		}
	}
	return out
}

// covered tells whether an address is on a subnet of these addresses.
func covered(own []netip.Prefix, a netip.Addr) bool {
	for _, p := range own {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// ipv6Off is the sysctl by which a node turns IPv6 off on an interface, which then has no IPv6 address; empty where there is none.
func (r *resolver) ipv6Off(e *Endpoint) string {
	own, def := r.f.nodes[r.nodes[e.Node]].sysctls.v, r.f.defaults.sysctls.v
	if len(own)+len(def) == 0 {
		return ""
	}
	for _, of := range []string{"all", "default", e.Interface} {
		key := "net.ipv6.conf." + of + ".disable_ipv6"
		v, set := own[key]
		if !set {
			v, set = def[key]
		}
		if set && v != "0" {
			return key
		}
	}
	return ""
}

// finish gives an end its hardware address and checks that it can have its addresses.
func (r *resolver) finish(w *wire, side int) {
	e, spec := w.end(side), w.spec[side]
	n := spec.mac.n
	if n != nil {
		e.MAC = spec.mac.v
	} else {
		n = spec.n
		e.MAC = ipam.InterfaceMAC(r.lab.Name, e.Node, e.Interface).String()
	}
	r.claimMAC(e.MAC, "node "+e.Node, n)
	for _, a := range e.Addresses {
		if !a.Addr().Is6() {
			continue
		}
		if off := r.ipv6Off(e); off != "" {
			r.d.errorf(spec.n, "%s cannot have the address %s: the sysctl %s of node %s turns IPv6 off there", e.Interface, a, off, e.Node)
		} else if e.MTU < minMTU6 {
			r.d.errorf(spec.n, "mtu %d of %s is too small for IPv6, which needs %d", e.MTU, e.Interface, minMTU6)
		}
		return
	}
}
