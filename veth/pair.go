package veth

import (
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// End is one end of a pair. The zero value of a field leaves it to the kernel.
type End struct {
	Name   string
	Index  int
	MAC    string
	MTU    int
	Netns  *os.File // nil: the namespace of the socket that the request is sent on
	Master int      // index of a bridge in the end's namespace; first end only
	Up     bool     // first end only
}

// Create is the request that makes a pair. RTM_NEWLINK with VETH_INFO_PEER.
func Create(a, b End, label string) (rtnl.Request, error) {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(a.Index)
	if a.Up {
		msg.Flags, msg.Change = unix.IFF_UP, unix.IFF_UP
	}
	req.AddData(msg)
	attrs, err := a.attributes()
	if err != nil {
		return rtnl.Request{}, fmt.Errorf("%s: %w", label, err)
	}
	for _, at := range attrs {
		req.AddData(at)
	}
	if a.Master > 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(a.Master))))
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	pmsg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	pmsg.Index = int32(b.Index)
	peer.AddChild(pmsg)
	if attrs, err = b.attributes(); err != nil {
		return rtnl.Request{}, fmt.Errorf("%s: %w", label, err)
	}
	for _, at := range attrs {
		peer.AddChild(at)
	}
	req.AddData(info)
	return rtnl.Request{NetlinkRequest: req, Label: label}, nil
}

func (e *End) attributes() ([]*nl.RtAttr, error) {
	l := []*nl.RtAttr{nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(e.Name))}
	if e.MAC != "" {
		mac, err := net.ParseMAC(e.MAC)
		if err != nil {
			return nil, err
		}
		l = append(l, nl.NewRtAttr(unix.IFLA_ADDRESS, mac))
	}
	if e.MTU > 0 {
		l = append(l, nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(e.MTU))))
	}
	if e.Netns != nil {
		l = append(l, nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(e.Netns.Fd()))))
	}
	return l, nil
}
