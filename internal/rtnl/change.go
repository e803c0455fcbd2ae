package rtnl

import (
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Change says what to change of an interface that is there. The zero value of a field
// leaves that as it is. The kernel carries out a change in the order: namespace, MAC, MTU,
// name, alias, master, flags (do_setlink in net/core/rtnetlink.c), all under one lock.
type Change struct {
	Index  int    // which; or
	Name   string // which, where the index is not known
	Netns  *os.File
	MAC    net.HardwareAddr
	MTU    int
	Rename string // with Netns the name in the new namespace
	// NewIndex is, with Netns, the index in the new namespace. IFLA_NEW_IFINDEX, Linux 5.13.
	NewIndex int
	Alias    *string
	Master   *int // index of a bridge, 0: none
	Up       *bool
}

// Request is the message for the change. RTM_NEWLINK.
func (c Change) Request(label string) Request {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, 0)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(c.Index)
	if c.Up != nil {
		msg.Change = unix.IFF_UP
		if *c.Up {
			msg.Flags = unix.IFF_UP
		}
	}
	req.AddData(msg)
	switch {
	case c.Index != 0 && c.Rename != "":
		req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(c.Rename)))
	case c.Index == 0:
		req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(c.Name)))
	}
	if c.Netns != nil {
		req.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(c.Netns.Fd()))))
	}
	if c.NewIndex > 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_NEW_IFINDEX, nl.Uint32Attr(uint32(c.NewIndex))))
	}
	if c.MAC != nil {
		req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, c.MAC))
	}
	if c.MTU > 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(c.MTU))))
	}
	if c.Alias != nil {
		req.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(*c.Alias)))
	}
	if c.Master != nil {
		req.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(*c.Master))))
	}
	return Request{req, label}
}

// AltName gives an interface one more name, of up to 127 bytes, by which it is found as by its own. EEXIST is a name that one in the
// namespace has already. RTM_NEWLINKPROP, Linux 5.5.
func AltName(index int, name, label string) Request {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINKPROP, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_APPEND)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	list := nl.NewRtAttr(unix.IFLA_PROP_LIST|unix.NLA_F_NESTED, nil)
	list.AddRtAttr(unix.IFLA_ALT_IFNAME, nl.ZeroTerminated(name))
	req.AddData(list)
	return Request{req, label}
}

// DeleteIndex removes an interface, by index: never another one that got its name since.
// RTM_DELLINK.
func DeleteIndex(index int, label string) Request {
	req := nl.NewNetlinkRequest(unix.RTM_DELLINK, 0)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	return Request{req, label}
}

// MACVLAN is an interface that shares the one with index Parent, which is in the namespace
// of the socket. The zero value of MAC, MTU and Netns leaves them to the kernel.
type MACVLAN struct {
	Name   string
	Index  int
	Parent int
	Mode   string // bridge, private, vepa or passthru
	MAC    net.HardwareAddr
	MTU    int
	Netns  *os.File // where it goes
}

// macvlanMode is the number of a mode in linux/if_link.h, 0 of none.
func macvlanMode(name string) uint32 {
	switch name {
	case "private":
		return nl.MACVLAN_MODE_PRIVATE
	case "vepa":
		return nl.MACVLAN_MODE_VEPA
	case "bridge":
		return nl.MACVLAN_MODE_BRIDGE
	case "passthru":
		return nl.MACVLAN_MODE_PASSTHRU
	}
	return 0
}

// Request is the message that makes the interface in its namespace. RTM_NEWLINK.
func (m MACVLAN) Request(label string) (Request, error) {
	mode := macvlanMode(m.Mode)
	if mode == 0 {
		return Request{}, fmt.Errorf("%s: no macvlan mode %q", label, m.Mode)
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(m.Index)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(m.Name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_LINK, nl.Uint32Attr(uint32(m.Parent))))
	if m.MAC != nil {
		req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, m.MAC))
	}
	if m.MTU > 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(m.MTU))))
	}
	if m.Netns != nil {
		req.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(m.Netns.Fd()))))
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("macvlan"))
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.IFLA_MACVLAN_MODE, nl.Uint32Attr(mode))
	req.AddData(info)
	return Request{req, label}, nil
}

// PortVLAN makes a VLAN the one that a bridge port sends and receives untagged, in place of
// the bridge's default. The port is given by its index. RTM_SETLINK, family AF_BRIDGE.
func PortVLAN(index, vlan int, label string) []Request {
	message := func(kind int, id, flags uint16) Request {
		req := nl.NewNetlinkRequest(kind, 0)
		msg := nl.NewIfInfomsg(unix.AF_BRIDGE)
		msg.Index = int32(index)
		req.AddData(msg)
		info := nl.BridgeVlanInfo{Flags: flags, Vid: id}
		spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
		spec.AddRtAttr(nl.IFLA_BRIDGE_VLAN_INFO, info.Serialize())
		req.AddData(spec)
		return Request{req, label}
	}
	const defaultVLAN = 1
	reqs := []Request{message(unix.RTM_SETLINK, uint16(vlan), nl.BRIDGE_VLAN_INFO_PVID|nl.BRIDGE_VLAN_INFO_UNTAGGED)}
	if vlan != defaultVLAN {
		reqs = append(reqs, message(unix.RTM_DELLINK, defaultVLAN, 0))
	}
	return reqs
}
