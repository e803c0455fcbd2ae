package topology

import (
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/nsnet/nsnet/ipam"
)

// maxPorts is what a bridge of Linux holds (BR_MAX_PORTS is 1024; port number 0 is none).
const maxPorts = 1023

// bridgeNet is what links need to know about a bridge while addresses are decided.
type bridgeNet struct {
	pools [2]*ipam.Pool // v4 and v6, nil without a subnet
	ports int           // the host's leg included
}

// family is 0 for IPv4 and 1 for IPv6.
func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// pool is the bridge's pool for an address's family, nil if there is none.
func (b *bridgeNet) pool(a netip.Addr) *ipam.Pool { return b.pools[family(a)] }

func (r *resolver) resolveBridges() {
	type located struct {
		prefixSpec
		bridge string
	}
	var all []located
	for i := range r.f.bridges {
		b := &r.f.bridges[i]
		for _, s := range r.resolveBridge(i, b) {
			all = append(all, located{s, b.name})
		}
	}
	// Prefixes overlap only as one holding the other, and sorted by first address, widest
	// first, whatever holds a prefix comes before it. Those that hold the current one are a
	// chain, so that comparing with the widest of the chain is enough.
	slices.SortStableFunc(all, func(a, b located) int {
		if c := a.p.Addr().Compare(b.p.Addr()); c != 0 {
			return c
		}
		return a.p.Bits() - b.p.Bits()
	})
	for i, hold := 1, 0; i < len(all); i++ {
		if !all[hold].p.Overlaps(all[i].p) {
			hold = i
			continue
		}
		first, second := all[hold], all[i]
		if second.n.Line < first.n.Line {
			first, second = second, first
		}
		r.d.errorf(second.n, "subnet %s of bridge %s overlaps %s of bridge %s (line %d)",
			second.p, second.bridge, first.p, first.bridge, first.n.Line)
	}
}

// resolveBridge fills in one bridge and gives its subnets.
func (r *resolver) resolveBridge(i int, s *bridgeSpec) []prefixSpec {
	d, b, net := r.d, &r.lab.Bridges[i], &r.nets[i]
	*b = Bridge{Name: s.name, NAT: s.nat.v, STP: s.stp.v, MTU: defaultMTU, External: s.external.v}
	host := r.ofHost(s, b)
	if s.mtu.n != nil {
		b.MTU = s.mtu.v
	}
	var subnets []prefixSpec
	var of [2]*prefixSpec
	add := func(p prefixSpec) {
		p.p = p.p.Masked()
		f := family(p.p.Addr())
		if of[f] == nil {
			subnets = append(subnets, p)
			of[f] = &p
		} else if of[f].p != p.p {
			d.errorf(p.n, "bridge %s has %s already; one IPv4 and one IPv6 subnet at most", s.name, of[f].p)
		}
	}
	for _, p := range s.subnet.v {
		add(p)
	}
	for _, a := range s.address.v {
		if p := of[family(a.p.Addr())]; s.subnet.n != nil && p != nil && p.p != a.p.Masked() {
			r.outside(a, "bridge "+s.name, p.p)
			continue
		}
		add(a)
		if r.claim(a.p.Addr(), "bridge "+s.name, a.n) {
			b.Addresses = append(b.Addresses, a.p)
		}
	}
	slices.SortFunc(subnets, func(a, b prefixSpec) int { return a.p.Addr().BitLen() - b.p.Addr().BitLen() })
	for _, p := range subnets {
		b.Subnets = append(b.Subnets, p.p)
		pool, err := ipam.NewPool(p.p)
		if err != nil {
			d.errorf(p.n, "subnet %s: %v", p.p, err)
			continue
		}
		net.pools[family(p.p.Addr())] = pool
	}
	for _, a := range b.Addresses {
		if pool := net.pool(a.Addr()); pool != nil {
			// Claimed and usable: what Reserve could refuse was refused above.
			_ = pool.Reserve(a.Addr())
		}
	}
	r.setAside(s, host)
	r.bridgeRules(s, b)
	if !b.External {
		r.peers(s, b)
	}
	if len(b.Addresses) > 0 && !b.External {
		net.ports = 1
	}
	if !b.External {
		b.MAC = ipam.BridgeMAC(r.lab.Name, b.Name).String()
		r.claimMAC(b.MAC, "bridge "+b.Name, s.n)
		if len(b.Addresses) > 0 {
			b.HostMAC = ipam.HostMAC(r.lab.Name, b.Name).String()
			r.claimMAC(b.HostMAC, "the host's leg to bridge "+b.Name, s.n)
		}
	}
	return subnets
}

// peers fills in the bridges of other labs that a bridge reaches.
func (r *resolver) peers(s *bridgeSpec, b *Bridge) {
	for _, p := range s.peers.v {
		name := p.lab + "/" + p.bridge
		switch {
		case p.lab == r.lab.Name:
			r.d.errorf(p.n, "peer %s is a bridge of this lab: its own bridges with an address reach each other", name)
		case slices.Contains(b.Peers, name):
			r.d.errorf(p.n, "peer %s is there twice", name)
		default:
			b.Peers = append(b.Peers, name)
		}
	}
	if len(s.peers.v) > 0 && s.address.n == nil {
		r.d.errorf(s.peers.n, "peers need an address: the bridge reaches those of other labs through the host")
	}
}

// bridgeRules checks that a bridge's keys go together.
func (r *resolver) bridgeRules(s *bridgeSpec, b *Bridge) {
	if b.External {
		for _, n := range []*yaml.Node{s.nat.n, s.stp.n} {
			if n != nil {
				r.d.errorf(n, "nat and stp of an external bridge are the host's affair: nsnet does not change it")
				break
			}
		}
		if s.peers.n != nil {
			r.d.errorf(s.peers.n, "peers of an external bridge are the host's affair: nsnet does not change it")
		}
	} else if b.NAT && s.address.n == nil {
		r.d.errorf(s.nat.n, "nat needs an address: the nodes reach the outside through the host")
	}
	if b.MTU < minMTU6 && r.nets[r.bridges[s.name]].pools[1] != nil {
		if s.mtu.n != nil {
			r.d.errorf(s.mtu.n, "mtu %d is too small for IPv6, which needs %d", b.MTU, minMTU6)
		} else {
			r.d.errorf(s.n, "bridge %s of the host has the mtu %d, which is too small for IPv6: that needs %d", b.Name, b.MTU, minMTU6)
		}
	}
}

// outside reports an address that does not fit its subnet.
func (r *resolver) outside(a prefixSpec, where string, subnet netip.Prefix) {
	if subnet.Contains(a.p.Addr()) {
		r.d.errorf(a.n, "address %s has another mask than the subnet %s of %s (did you mean \"%s/%d\"?)",
			a.p, subnet, where, a.p.Addr(), subnet.Bits())
		return
	}
	r.d.errorf(a.n, "address %s is outside the subnet %s of %s", a.p, subnet, where)
}
