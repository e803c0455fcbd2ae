package rtnl

import (
	"net"
	"slices"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Link is an interface as a dump shows it.
type Link struct {
	Index     int
	Name      string
	Flags     uint32
	OperState byte // RFC 2863; 6 is up
	Master    int
	PortState byte // of a bridge port; 3 is forwarding
	AltNames  []string
	Alias     string
	MAC       net.HardwareAddr
	MTU       int
	Kind      string // "bridge", "veth"; "" of hardware
	Lower     int    // index of a veth's other end, of a macvlan's parent; 0 where there is none
	LowerNS   int    // id of the network namespace that Lower is in, -1: this one
	Bridge    BridgeInfo
}

// BridgeInfo is what a dump shows of a bridge.
type BridgeInfo struct {
	STP           bool
	ForwardDelay  time.Duration // with STP, how long a port listens, and then learns, before it forwards
	VLANFiltering bool
}

// Forwarding returns how long it may take until a new port of the bridge forwards: no time without STP. IEEE 802.1D, which has a
// port listen and learn first.
func (b *BridgeInfo) Forwarding() time.Duration {
	if !b.STP {
		return 0
	}
	const spare = 5 * time.Second
	return 2*b.ForwardDelay + spare
}

// Up tells whether the interface is administratively up.
func (l *Link) Up() bool { return l.Flags&unix.IFF_UP != 0 }

// Links lists the interfaces of the namespace. RTM_GETLINK.
func (c *Conn) Links() ([]Link, error) {
	var links []Link
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	// Statistics are most of a link's message and nobody reads them here.
	req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(rtextFilterSkipStats)))
	err := c.Dump(req, func() { links = links[:0] }, func(b []byte) error {
		l, err := parseLink(b)
		if err == nil {
			links = append(links, l)
		}
		return err
	})
	return links, err
}

// Link finds the interface with this index, ENODEV where there is none. RTM_GETLINK.
func (c *Conn) Link(index int) (Link, error) {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	return c.lookUp(msg)
}

// LinkNamed finds the interface with this name, ENODEV where there is none. RTM_GETLINK.
func (c *Conn) LinkNamed(name string) (Link, error) {
	return c.lookUp(nl.NewIfInfomsg(unix.AF_UNSPEC), nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
}

func (c *Conn) lookUp(by ...nl.NetlinkRequestData) (Link, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	for _, d := range by {
		req.AddData(d)
	}
	req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(rtextFilterSkipStats)))
	var l Link
	err := c.ask(req, "look up an interface", func(b []byte) (err error) {
		l, err = parseLink(b)
		return err
	})
	return l, err
}

const rtextFilterSkipStats = 1 << 3

func parseLink(b []byte) (Link, error) {
	if len(b) < unix.SizeofIfInfomsg {
		return Link{}, unix.EBADMSG
	}
	i := (*unix.IfInfomsg)(unsafe.Pointer(unsafe.SliceData(b)))
	l := Link{Index: int(i.Index), Flags: i.Flags, LowerNS: -1}
	attrs, err := attributes(b[unix.SizeofIfInfomsg:])
	if err != nil {
		return l, err
	}
	for _, a := range attrs {
		switch a.Attr.Type &^ unix.NLA_F_NESTED {
		case unix.IFLA_IFNAME:
			l.Name = unix.ByteSliceToString(a.Value)
		case unix.IFLA_IFALIAS:
			l.Alias = unix.ByteSliceToString(a.Value)
		case unix.IFLA_OPERSTATE:
			if len(a.Value) > 0 {
				l.OperState = a.Value[0]
			}
		case unix.IFLA_MASTER:
			l.Master = int(number(a.Value))
		case unix.IFLA_ADDRESS:
			l.MAC = net.HardwareAddr(slices.Clone(a.Value))
		case unix.IFLA_MTU:
			l.MTU = int(number(a.Value))
		case unix.IFLA_LINK:
			l.Lower = int(number(a.Value))
		case unix.IFLA_LINK_NETNSID:
			l.LowerNS = int(int32(number(a.Value)))
		case unix.IFLA_LINKINFO:
			l.info(a.Value)
		case unix.IFLA_PROP_LIST:
			l.names(a.Value)
		}
	}
	return l, nil
}

// names takes IFLA_PROP_LIST apart.
func (l *Link) names(b []byte) {
	attrs, err := attributes(b)
	if err != nil {
		return
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.IFLA_ALT_IFNAME {
			l.AltNames = append(l.AltNames, unix.ByteSliceToString(a.Value))
		}
	}
}

// info takes IFLA_LINKINFO apart: what kind of link it is, what its bridge says of it as a
// port, and what it says of itself as a bridge.
func (l *Link) info(b []byte) {
	attrs, err := attributes(b)
	if err != nil {
		return
	}
	for _, a := range attrs {
		switch a.Attr.Type &^ unix.NLA_F_NESTED {
		case nl.IFLA_INFO_KIND:
			l.Kind = unix.ByteSliceToString(a.Value)
		case nl.IFLA_INFO_SLAVE_DATA:
			if v := attribute(a.Value, nl.IFLA_BRPORT_STATE); len(v) > 0 {
				l.PortState = v[0]
			}
		case nl.IFLA_INFO_DATA:
			if l.Kind != "bridge" { // the kind comes first
				continue
			}
			if v := attribute(a.Value, nl.IFLA_BR_STP_STATE); len(v) == 4 {
				l.Bridge.STP = number(v) != 0
			}
			if v := attribute(a.Value, nl.IFLA_BR_FORWARD_DELAY); len(v) == 4 {
				const hz = 100 // USER_HZ
				l.Bridge.ForwardDelay = time.Duration(number(v)) * time.Second / hz
			}
			if v := attribute(a.Value, nl.IFLA_BR_VLAN_FILTERING); len(v) > 0 {
				l.Bridge.VLANFiltering = v[0] != 0
			}
		}
	}
}

// attribute is the value of one attribute of a list, nil where it has none.
func attribute(b []byte, kind uint16) []byte {
	attrs, err := attributes(b)
	if err != nil {
		return nil
	}
	for _, a := range attrs {
		if a.Attr.Type&^unix.NLA_F_NESTED == kind {
			return a.Value
		}
	}
	return nil
}

// Up brings an interface up, by name. RTM_NEWLINK.
func Up(name, label string) Request {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, 0)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Flags, msg.Change = unix.IFF_UP, unix.IFF_UP
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	return Request{req, label}
}

// Alias marks an interface, by name. The kernel takes no ifalias in the message that makes
// an interface, only in one that changes it.
func Alias(name, alias, label string) Request {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, 0)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(alias)))
	return Request{req, label}
}

// SetMaster makes an interface, by name, a port of the bridge with index master, and
// brings it up.
func SetMaster(name string, master int, label string) Request {
	r := Up(name, label)
	r.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(master))))
	return r
}

// Delete removes an interface, by name. RTM_DELLINK.
func Delete(name, label string) Request {
	req := nl.NewNetlinkRequest(unix.RTM_DELLINK, 0)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	return Request{req, label}
}
