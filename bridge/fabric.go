package bridge

import (
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/topology"
)

// Create is the request that makes bridge b, with this index, in the fabric. It keeps its
// MAC whatever ports come and go. It is down: each port that joins or gets a carrier while
// its bridge is up has the bridge look at all others, a cost with the square of the lab.
// RTM_NEWLINK.
func Create(b *topology.Bridge, index int) (rtnl.Request, error) {
	return message(b, index, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "create bridge "+b.Name)
}

// Change is the request that makes the bridge with this index what b says, up or down as it is.
// RTM_NEWLINK.
func Change(b *topology.Bridge, index int) (rtnl.Request, error) {
	return message(b, index, 0, "change bridge "+b.Name)
}

// ForwardDelay is how long a port of a lab's bridge with the spanning tree protocol listens, and then learns, before it forwards: the
// least that the kernel takes (BR_MIN_FORWARD_DELAY). Its own default is 15 s.
const ForwardDelay = 2 * time.Second

// Learned is how many hardware addresses a lab's bridge learns from what is sent, besides those of its ports: enough for a thousand ports with
// some macvlans or bridges behind each. What is sent to one beyond that goes to all ports. An entry is memory of the kernel that nobody is charged for, and the
// lab's end waits for them. Before Linux 6.6 there is no such bound.
const Learned = 4096

// fdbMaxLearned is IFLA_BR_FDB_MAX_LEARNED of linux/if_link.h, not in x/sys/unix. An older kernel takes no notice of it.
const fdbMaxLearned = 49

// BoundsLearning reports whether the kernel can bound what a bridge learns, see [Learned]: from Linux 6.6 on it can.
func BoundsLearning() bool {
	var name unix.Utsname
	var major, minor int
	if err := unix.Uname(&name); err != nil {
		return false
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 6 || major == 6 && minor >= 6
}

func message(b *topology.Bridge, index, flags int, label string) (rtnl.Request, error) {
	mac, err := net.ParseMAC(b.MAC)
	if err != nil {
		return rtnl.Request{}, fmt.Errorf("%s: %w", label, err)
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, flags)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(b.Name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, mac))
	req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(b.MTU))))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	stp := uint32(0)
	if b.STP {
		stp = 1
	}
	data.AddRtAttr(nl.IFLA_BR_STP_STATE, nl.Uint32Attr(stp))
	if b.STP {
		const hundredths = 10 * time.Millisecond // USER_HZ
		data.AddRtAttr(nl.IFLA_BR_FORWARD_DELAY, nl.Uint32Attr(uint32(ForwardDelay/hundredths)))
	}
	data.AddRtAttr(fdbMaxLearned, nl.Uint32Attr(Learned))
	req.AddData(info)
	return rtnl.Request{NetlinkRequest: req, Label: label}, nil
}
