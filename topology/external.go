package topology

import (
	"net/netip"
	"slices"
)

// ofHost takes what the host has of a bridge of its own: its MTU is that of the links.
func (r *resolver) ofHost(s *bridgeSpec, b *Bridge) HostBridge {
	if !b.External || r.d.o.HostBridge == nil {
		return HostBridge{}
	}
	host, there := r.d.o.HostBridge(s.name)
	if there && host.MTU > 0 {
		b.MTU, b.HostMTU = min(host.MTU, maxMTU), host.MTU
	}
	return host
}

// setAside sees to it that no node gets an address that the host has on a bridge of its own.
func (r *resolver) setAside(s *bridgeSpec, host HostBridge) {
	b, net := &r.lab.Bridges[r.bridges[s.name]], &r.nets[r.bridges[s.name]]
	for _, p := range host.Addresses {
		a := p.Addr().Unmap()
		if slices.ContainsFunc(b.Addresses, func(own netip.Prefix) bool { return own.Addr() == a }) {
			continue // the file knows
		}
		if _, taken := r.owners[a]; !taken && !a.IsLinkLocalUnicast() { // else the file's own bridge has it, of which the host will tell
			r.owners[a] = owner{"the host, on its bridge " + s.name + ",", s.n}
		}
		if pool := net.pool(a); pool != nil {
			_ = pool.Reserve(a) // one outside of it, or one that no node can have, is not given anyway
		}
	}
}

// mostMTU returns the MTU that a bridge has for links which say nothing of it, and the largest that they can have.
func (r *resolver) mostMTU(bridge int) (mtu, most int) {
	b, s := &r.lab.Bridges[bridge], &r.f.bridges[bridge]
	if b.External && b.HostMTU == 0 && s.mtu.n == nil {
		return b.MTU, maxMTU // the host knows, who was not asked
	}
	return b.MTU, b.MTU
}
