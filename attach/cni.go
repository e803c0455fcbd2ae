package attach

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
)

// CNI is a record as the result of a CNI plugin, version 1.1.0 of the specification, section 5: the
// other end, where the host or a lab has it, and the interface, with its addresses, routes and nameservers.
func (r *Record) CNI() *current.Result {
	res := &current.Result{CNIVersion: "1.1.0"}
	if r.Port != "" && r.Peer == nil {
		res.Interfaces = append(res.Interfaces, &current.Interface{Name: r.Port, Mac: r.HostMAC, Mtu: r.MTU})
	}
	if r.Peer != nil {
		res.Interfaces = append(res.Interfaces, &current.Interface{Name: r.Port, Mac: r.HostMAC, Mtu: r.MTU, Sandbox: r.Peer.sandbox()})
		r.addIPs(res, r.Request.Via.Addresses)
	}
	res.Interfaces = append(res.Interfaces, &current.Interface{Name: r.Request.Interface, Mac: r.MAC, Mtu: r.MTU, Sandbox: r.Target.sandbox()})
	r.addIPs(res, r.Addresses)
	for _, t := range r.Routes {
		route := &types.Route{Dst: ipNet(t.To), Priority: t.Metric}
		if t.Via.IsValid() {
			route.GW = t.Via.AsSlice()
		}
		res.Routes = append(res.Routes, route)
	}
	for _, s := range r.Request.DNS {
		res.DNS.Nameservers = append(res.DNS.Nameservers, s.String())
	}
	return res
}

// addIPs adds addresses of the last interface.
func (r *Record) addIPs(res *current.Result, addresses []netip.Prefix) {
	for _, p := range addresses {
		at := len(res.Interfaces) - 1
		ip := &current.IPConfig{Interface: &at, Address: ipNet(p)}
		for _, t := range r.Routes {
			if t.To.Bits() == 0 && t.To.Addr().Is6() == p.Addr().Is6() && p.Contains(t.Via) {
				ip.Gateway = t.Via.AsSlice()
			}
		}
		res.IPs = append(res.IPs, ip)
	}
}

func ipNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// sandbox is the path of a namespace.
func (p *Place) sandbox() string {
	if p.Path != "" {
		return p.Path
	}
	return "/proc/" + strconv.Itoa(p.PID) + "/ns/net"
}
