package rtnl

import (
	"errors"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attributes of linux/netconf.h.
const (
	netconfIndex      = 1
	netconfForwarding = 2
)

// netconfmsg is struct netconfmsg of linux/netconf.h.
type netconfmsg struct{ family uint8 }

const sizeofNetconfmsg = 4 // with its padding

func (m *netconfmsg) Len() int          { return sizeofNetconfmsg }
func (m *netconfmsg) Serialize() []byte { return []byte{m.family, 0, 0, 0} }

// Forwards reports whether an interface forwards IPv6, which makes it a router's. One without IPv6 does not. RTM_GETNETCONF.
func (c *Conn) Forwards(index int) (bool, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETNETCONF, 0)
	req.AddData(&netconfmsg{unix.AF_INET6})
	req.AddData(nl.NewRtAttr(netconfIndex, nl.Uint32Attr(uint32(index))))
	forwards := false
	err := c.ask(req, "look up whether an interface forwards", func(b []byte) error {
		if len(b) < sizeofNetconfmsg {
			return unix.EBADMSG
		}
		v := attribute(b[sizeofNetconfmsg:], netconfForwarding)
		forwards = len(v) == 4 && number(v) != 0
		return nil
	})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return false, nil
	}
	return forwards, err
}

// ForwardingOfAll returns the value of the switch of all interfaces where a message tells that one has changed: RTM_NEWNETCONF with
// NETCONFA_IFINDEX_ALL.
func ForwardingOfAll(message []byte) (value int, ok bool) {
	const ofAll = -1
	if len(message) < unix.SizeofNlMsghdr+sizeofNetconfmsg || nl.NativeEndian().Uint16(message[4:]) != unix.RTM_NEWNETCONF {
		return 0, false
	}
	attrs := message[unix.SizeofNlMsghdr+sizeofNetconfmsg:]
	index, v := attribute(attrs, netconfIndex), attribute(attrs, netconfForwarding)
	if len(index) != 4 || len(v) != 4 || int32(nl.NativeEndian().Uint32(index)) != ofAll {
		return 0, false
	}
	return int(int32(nl.NativeEndian().Uint32(v))), true
}
