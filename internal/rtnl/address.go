package rtnl

import (
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Address gives the interface with this index an address, usable at once: IPv6 without
// duplicate address detection (RFC 4862 section 5.4). A link-local address that the kernel has given it meanwhile
// is no error. RTM_NEWADDR.
func Address(index int, p netip.Prefix, label string) Request {
	a := p.Addr()
	flags := unix.NLM_F_CREATE | unix.NLM_F_EXCL
	if a.IsLinkLocalUnicast() && a.Is6() {
		flags = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, flags)
	msg := nl.NewIfAddrmsg(family(a))
	msg.Index = uint32(index)
	msg.Prefixlen = uint8(p.Bits())
	switch {
	case a.IsLinkLocalUnicast() && a.Is6():
		msg.Scope = unix.RT_SCOPE_LINK
	case a.IsLoopback():
		msg.Scope = unix.RT_SCOPE_HOST
	}
	if a.Is6() && !a.IsLoopback() {
		msg.IfAddrmsg.Flags = unix.IFA_F_NODAD
	}
	req.AddData(msg)
	if a.Is6() && a.IsLoopback() { // the kernel's own has no route beside its local one
		req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(unix.IFA_F_NOPREFIXROUTE)))
	}
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, a.AsSlice()))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, a.AsSlice()))
	if a.Is4() && p.Bits() < 31 && !a.IsLoopback() {
		req.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, broadcast(p).AsSlice()))
	}
	return Request{req, label}
}

// DeleteAddress takes an address from the interface with this index. RTM_DELADDR.
func DeleteAddress(index int, p netip.Prefix, label string) Request {
	req := nl.NewNetlinkRequest(unix.RTM_DELADDR, 0)
	msg := nl.NewIfAddrmsg(family(p.Addr()))
	msg.Index = uint32(index)
	msg.Prefixlen = uint8(p.Bits())
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, p.Addr().AsSlice()))
	return Request{req, label}
}

// Route adds a route, by a gateway or an interface or a gateway behind an interface: via is valid or index is above 0, or both. RTM_NEWROUTE.
func Route(to netip.Prefix, via netip.Addr, index, metric int, label string) Request {
	return route(to, via, index, metric, 0, label)
}

// RouteOnLink adds a route by a gateway that the kernel takes to be on the link of the interface with this index, on no subnet of
// its addresses though it is.
func RouteOnLink(to netip.Prefix, via netip.Addr, index, metric int, label string) Request {
	return route(to, via, index, metric, unix.RTNH_F_ONLINK, label)
}

func route(to netip.Prefix, via netip.Addr, index, metric int, flags uint32, label string) Request {
	req := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	msg := nl.NewRtMsg()
	msg.Family = uint8(family(to.Addr()))
	msg.Dst_len = uint8(to.Bits())
	msg.Protocol = unix.RTPROT_STATIC
	msg.Flags = flags
	if !via.IsValid() {
		msg.Scope = unix.RT_SCOPE_LINK
	}
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.RTA_DST, to.Masked().Addr().AsSlice()))
	switch {
	case !via.IsValid():
	case via.Is6() && to.Addr().Is4(): // RFC 5549: an IPv4 route by an IPv6 next hop
		req.AddData(nl.NewRtAttr(unix.RTA_VIA, append([]byte{unix.AF_INET6, 0}, via.AsSlice()...)))
	default:
		req.AddData(nl.NewRtAttr(unix.RTA_GATEWAY, via.AsSlice()))
	}
	if index > 0 {
		req.AddData(nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))))
	}
	if metric > 0 {
		req.AddData(nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(uint32(metric))))
	}
	return Request{req, label}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// broadcast is the last address of an IPv4 subnet.
func broadcast(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}
