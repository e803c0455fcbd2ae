package rtnl

import (
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
	Alias     string
}

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

const rtextFilterSkipStats = 1 << 3

func parseLink(b []byte) (Link, error) {
	if len(b) < unix.SizeofIfInfomsg {
		return Link{}, unix.EBADMSG
	}
	i := (*unix.IfInfomsg)(unsafe.Pointer(unsafe.SliceData(b)))
	l := Link{Index: int(i.Index), Flags: i.Flags}
	attrs, err := nl.ParseRouteAttr(b[unix.SizeofIfInfomsg:])
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
			l.OperState = a.Value[0]
		case unix.IFLA_MASTER:
			l.Master = int(nl.NativeEndian().Uint32(a.Value))
		case unix.IFLA_LINKINFO:
			l.PortState = portState(a.Value)
		}
	}
	return l, nil
}

// portState finds IFLA_BRPORT_STATE in the link's slave data.
func portState(info []byte) byte {
	const stateAttr = 1 // IFLA_BRPORT_STATE
	attrs, err := nl.ParseRouteAttr(info)
	if err != nil {
		return 0
	}
	for _, a := range attrs {
		if a.Attr.Type&^unix.NLA_F_NESTED != nl.IFLA_INFO_SLAVE_DATA {
			continue
		}
		data, err := nl.ParseRouteAttr(a.Value)
		if err != nil {
			return 0
		}
		for _, d := range data {
			if d.Attr.Type == stateAttr && len(d.Value) > 0 {
				return d.Value[0]
			}
		}
	}
	return 0
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
