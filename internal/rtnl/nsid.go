package rtnl

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// NumberNetns gives the network namespace behind a descriptor an id in the socket's own, by which monitors tell of it.
// The kernel gives ids, too, from 0 on, to those of which it has to tell something: EEXIST is one that has its id
// already, or an id that another one has. RTM_NEWNSID; network_namespaces(7).
func NumberNetns(fd, id int, label string) Request {
	req := nl.NewNetlinkRequest(unix.RTM_NEWNSID, 0)
	req.AddData(nl.NewRtGenMsg())
	req.AddData(nl.NewRtAttr(unix.NETNSA_FD, nl.Uint32Attr(uint32(fd))))
	req.AddData(nl.NewRtAttr(unix.NETNSA_NSID, nl.Uint32Attr(uint32(id))))
	return Request{req, label}
}

// NetnsID is the id that the network namespace behind a descriptor has in the socket's own, -1 for none. In a visit, the
// descriptor -1 is the namespace from which it began. RTM_GETNSID.
func (c *Conn) NetnsID(fd int) (int, error) {
	if fd < 0 {
		fd = c.home
	}
	req := nl.NewNetlinkRequest(unix.RTM_GETNSID, 0)
	req.AddData(nl.NewRtGenMsg())
	req.AddData(nl.NewRtAttr(unix.NETNSA_FD, nl.Uint32Attr(uint32(fd))))
	id := -1
	err := c.ask(req, "look up the id of a network namespace", func(b []byte) error {
		if len(b) < 4 {
			return unix.EBADMSG
		}
		if v := attribute(b[4:], unix.NETNSA_NSID); len(v) == 4 { // behind struct rtgenmsg, padded
			id = int(int32(number(v)))
		}
		return nil
	})
	return id, err
}
