package rtnl

import (
	"net/netip"
	"slices"
	"unsafe"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// InterfaceAddress is an address as a dump shows it, and the kernel's own words for it, with which
// it can be given again as it was: lifetimes, label, scope.
type InterfaceAddress struct {
	Index  int
	Prefix netip.Prefix
	Flags  uint32
	Raw    []byte // struct ifaddrmsg and its attributes
}

// ThisNetns is the namespace of the socket, where a namespace is given by its id.
const ThisNetns = -1

// Addresses lists the addresses of all interfaces of the network namespace with this id, as the
// socket's namespace numbers others (network_namespaces(7), RTM_GETNSID). Reading another namespace's needs Linux 4.20.
// RTM_GETADDR.
func (c *Conn) Addresses(nsid int) ([]InterfaceAddress, error) {
	var list []InterfaceAddress
	req := nl.NewNetlinkRequest(unix.RTM_GETADDR, 0)
	req.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
	if nsid != ThisNetns {
		req.AddData(nl.NewRtAttr(unix.IFA_TARGET_NETNSID, nl.Uint32Attr(uint32(nsid))))
		// Without it the kernel reads no further than the header (inet_dump_ifaddr).
		if err := c.strict(); err != nil {
			return nil, err
		}
	}
	err := c.Dump(req, func() { list = list[:0] }, func(b []byte) error {
		a, err := parseAddress(b)
		if err == nil {
			list = append(list, a)
		}
		return err
	})
	return list, err
}

// strict makes the kernel look at the attributes of requests for lists. NETLINK_GET_STRICT_CHK, Linux 4.20.
func (c *Conn) strict() error {
	return unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
}

func parseAddress(b []byte) (InterfaceAddress, error) {
	if len(b) < unix.SizeofIfAddrmsg {
		return InterfaceAddress{}, unix.EBADMSG
	}
	m := (*unix.IfAddrmsg)(unsafe.Pointer(unsafe.SliceData(b)))
	a := InterfaceAddress{Index: int(m.Index), Flags: uint32(m.Flags), Raw: slices.Clone(b)}
	attrs, err := attributes(b[unix.SizeofIfAddrmsg:])
	if err != nil {
		return a, err
	}
	var address, local netip.Addr
	for _, at := range attrs {
		switch at.Attr.Type {
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(at.Value)
		case unix.IFA_LOCAL: // of a pair with different addresses, this end's
			local, _ = netip.AddrFromSlice(at.Value)
		case unix.IFA_FLAGS:
			a.Flags = number(at.Value)
		}
	}
	if local.IsValid() {
		address = local
	}
	a.Prefix = netip.PrefixFrom(address, int(m.Prefixlen))
	return a, nil
}

// RestoreOrder puts addresses of a dump into the order in which they have to be given for the next dump to
// show them as this one did, and the kernel to prefer the same of them: it puts IPv6 addresses in front.
func RestoreOrder(list []InterfaceAddress) []InterfaceAddress {
	var four, six []InterfaceAddress
	for _, a := range list {
		if a.Prefix.Addr().Is6() {
			six = append(six, a)
		} else {
			four = append(four, a)
		}
	}
	slices.Reverse(six)
	return append(four, six...)
}

// RestoreAddress gives the interface with this index an address again that a dump has shown,
// lifetimes, label and all, without duplicate address detection. RTM_NEWADDR.
func RestoreAddress(raw []byte, index int, label string) Request {
	req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	b := slices.Clone(raw)
	if len(b) < unix.SizeofIfAddrmsg {
		return Request{req, label} // of a damaged record: the kernel refuses it
	}
	m := (*unix.IfAddrmsg)(unsafe.Pointer(unsafe.SliceData(b)))
	m.Index = uint32(index)
	// These are about the state that it was in, not about what it is to be.
	m.Flags = m.Flags&^(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED|unix.IFA_F_SECONDARY) | unix.IFA_F_NODAD
	if m.Family == unix.AF_INET {
		m.Flags &^= unix.IFA_F_NODAD
	}
	rest := b[unix.SizeofIfAddrmsg:]
	if v := attribute(rest, unix.IFA_FLAGS); len(v) == 4 { // the wider field wins
		flags := number(v)&^(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED|unix.IFA_F_SECONDARY) | uint32(m.Flags)
		nl.NativeEndian().PutUint32(v, flags)
	}
	req.AddRawData(b)
	return Request{req, label}
}

// TableRoute is a route as a dump shows it, and the kernel's own words for it, with which it can be
// taken away and put back as it was.
type TableRoute struct {
	To       netip.Prefix
	Via      netip.Addr
	Index    int // of the interface, 0 where it has several next hops or none
	Metric   int
	Table    int
	Protocol int
	Type     int
	TOS      int    // of packets that it is for, 0 for all; IPv4 alone
	Raw      []byte // struct rtmsg and its attributes
}

// Default tells a default route that packets take: a unicast one in the main table.
func (r *TableRoute) Default() bool {
	return r.To.Bits() == 0 && r.Table == unix.RT_TABLE_MAIN && r.Type == unix.RTN_UNICAST
}

// Routes lists the routes of all tables, both families, without the kernel's cached ones.
// RTM_GETROUTE.
func (c *Conn) Routes() ([]TableRoute, error) {
	var list []TableRoute
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, 0)
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_UNSPEC}})
	err := c.Dump(req, func() { list = list[:0] }, func(b []byte) error {
		r, err := ParseRoute(b)
		if err == nil && r.To.IsValid() {
			list = append(list, r)
		}
		return err
	})
	return list, err
}

// ParseRoute reads a route as the kernel words it: struct rtmsg and its attributes.
func ParseRoute(b []byte) (TableRoute, error) {
	if len(b) < unix.SizeofRtMsg {
		return TableRoute{}, unix.EBADMSG
	}
	m := (*unix.RtMsg)(unsafe.Pointer(unsafe.SliceData(b)))
	r := TableRoute{Table: int(m.Table), Protocol: int(m.Protocol), Type: int(m.Type), TOS: int(m.Tos), Raw: slices.Clone(b)}
	var to netip.Addr
	switch m.Family {
	case unix.AF_INET:
		to = netip.IPv4Unspecified()
	case unix.AF_INET6:
		to = netip.IPv6Unspecified()
	default: // multicast and other families
		return r, nil
	}
	if m.Flags&unix.RTM_F_CLONED != 0 {
		return r, nil
	}
	attrs, err := attributes(b[unix.SizeofRtMsg:])
	if err != nil {
		return r, err
	}
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.RTA_DST:
			to, _ = netip.AddrFromSlice(a.Value)
		case unix.RTA_GATEWAY:
			r.Via, _ = netip.AddrFromSlice(a.Value)
		case unix.RTA_VIA: // RFC 5549: a next hop of the other family, behind that family's number
			if len(a.Value) > 2 {
				r.Via, _ = netip.AddrFromSlice(a.Value[2:])
			}
		case unix.RTA_OIF:
			r.Index = int(number(a.Value))
		case unix.RTA_PRIORITY:
			r.Metric = int(number(a.Value))
		case unix.RTA_TABLE:
			r.Table = int(number(a.Value))
		}
	}
	r.To = netip.PrefixFrom(to, int(m.Dst_len))
	return r, nil
}

// DeleteRoute takes away a route that a dump has shown. RTM_DELROUTE.
func DeleteRoute(raw []byte, label string) Request {
	req := nl.NewNetlinkRequest(unix.RTM_DELROUTE, 0)
	req.AddRawData(withoutState(raw))
	return Request{req, label}
}

// RestoreRoute puts a route back that a dump has shown, through the interface with this index, 0: through the
// one that it had. One to the same destination with the same metric that is there by now
// stays, and is EEXIST. RTM_NEWROUTE.
func RestoreRoute(raw []byte, index int, label string) Request {
	req := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	b := withoutState(raw)
	if b == nil {
		return Request{req, label}
	}
	if oif := attribute(b[unix.SizeofRtMsg:], unix.RTA_OIF); index > 0 && len(oif) == 4 {
		nl.NativeEndian().PutUint32(oif, uint32(index))
	}
	req.AddRawData(b)
	return Request{req, label}
}

// withoutState is a route of a dump without what tells of its present state, which is
// refused or misleads in a request; nothing where it is none.
func withoutState(raw []byte) []byte {
	if len(raw) < unix.SizeofRtMsg {
		return nil
	}
	b := slices.Clone(raw)
	m := (*unix.RtMsg)(unsafe.Pointer(unsafe.SliceData(b)))
	m.Flags &^= unix.RTNH_F_DEAD | unix.RTNH_F_LINKDOWN
	out := b[:unix.SizeofRtMsg:unix.SizeofRtMsg]
	for rest := b[unix.SizeofRtMsg:]; len(rest) >= unix.SizeofRtAttr; {
		a := (*unix.RtAttr)(unsafe.Pointer(unsafe.SliceData(rest)))
		n := min((int(a.Len)+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1), len(rest))
		if int(a.Len) < unix.SizeofRtAttr || int(a.Len) > len(rest) {
			break
		}
		if a.Type != unix.RTA_CACHEINFO {
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	return out
}

// Kernel tells a route that the kernel makes by itself, with an address or an interface that comes up.
func (r *TableRoute) Kernel() bool {
	return r.Protocol == unix.RTPROT_KERNEL || r.Protocol == unix.RTPROT_RA || r.Type != unix.RTN_UNICAST
}

// Refuses tells a route that somebody has made for packets to go nowhere: ip route add blackhole, unreachable, prohibit or throw.
func (r *TableRoute) Refuses() bool {
	switch r.Type {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
		return r.Protocol != unix.RTPROT_KERNEL && r.Protocol != unix.RTPROT_RA
	}
	return false
}
