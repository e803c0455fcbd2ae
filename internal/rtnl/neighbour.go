package rtnl

import (
	"net"
	"net/netip"
	"unsafe"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// TableNeighbour is an entry of the table of neighbours that somebody has told the kernel of.
type TableNeighbour struct {
	Index int
	Addr  netip.Addr
	MAC   net.HardwareAddr
}

// ndmsg is struct ndmsg of linux/neighbour.h.
type ndmsg struct {
	family uint8
	_      uint8
	_      uint16
	index  int32
	state  uint16
	flags  uint8
	kind   uint8
}

const sizeofNdmsg = 12

func (m *ndmsg) Len() int          { return sizeofNdmsg }
func (m *ndmsg) Serialize() []byte { return (*(*[sizeofNdmsg]byte)(unsafe.Pointer(m)))[:] }

// Neighbour tells the kernel of a neighbour, in an entry that is not the kernel's to throw away when its table is full, and does not
// count there (NTF_EXT_LEARNED, Linux 5.0). Unlike a permanent one it gives way to what the neighbour itself says later: it is
// stale from the start, so that the first packet is sent to it at once, and it is asked afterwards. RTM_NEWNEIGH.
func Neighbour(index int, addr netip.Addr, mac net.HardwareAddr, label string) Request {
	req := nl.NewNetlinkRequest(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	req.AddData(&ndmsg{family: uint8(family(addr)), index: int32(index), state: unix.NUD_STALE, flags: unix.NTF_EXT_LEARNED})
	req.AddData(nl.NewRtAttr(unix.NDA_DST, addr.AsSlice()))
	req.AddData(nl.NewRtAttr(unix.NDA_LLADDR, mac))
	return Request{req, label}
}

// DeleteNeighbour takes an entry away. RTM_DELNEIGH.
func DeleteNeighbour(index int, addr netip.Addr, label string) Request {
	req := nl.NewNetlinkRequest(unix.RTM_DELNEIGH, 0)
	req.AddData(&ndmsg{family: uint8(family(addr)), index: int32(index)})
	req.AddData(nl.NewRtAttr(unix.NDA_DST, addr.AsSlice()))
	return Request{req, label}
}

// Neighbours lists the entries that Neighbour has made. RTM_GETNEIGH.
func (c *Conn) Neighbours() ([]TableNeighbour, error) {
	var list []TableNeighbour
	req := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, 0)
	req.AddData(&ndmsg{})
	err := c.Dump(req, func() { list = list[:0] }, func(b []byte) error {
		if len(b) < sizeofNdmsg {
			return unix.EBADMSG
		}
		m := (*ndmsg)(unsafe.Pointer(unsafe.SliceData(b)))
		if m.flags&unix.NTF_EXT_LEARNED == 0 || m.family != unix.AF_INET && m.family != unix.AF_INET6 {
			return nil
		}
		addr, ok := netip.AddrFromSlice(attribute(b[sizeofNdmsg:], unix.NDA_DST))
		if ok {
			list = append(list, TableNeighbour{Index: int(m.index), Addr: addr, MAC: net.HardwareAddr(append([]byte(nil), attribute(b[sizeofNdmsg:], unix.NDA_LLADDR)...))})
		}
		return nil
	})
	return list, err
}
