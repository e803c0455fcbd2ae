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
