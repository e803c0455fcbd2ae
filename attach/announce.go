package attach

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// readyTimeout bounds the wait for the carriers.
const readyTimeout = 3 * time.Second

// announce waits until the interface carries packets and has its neighbours told where its addresses
// are, who may have known somebody else by them. It returns what the user should know if not.
func (a *attachment) announce(ctx context.Context, r *Record) string {
	name := r.Request.Interface
	c, err := rtnl.Dial(a.target.netns, unix.RTNLGRP_LINK)
	if err != nil {
		return fmt.Sprintf("%s is attached, and whether it carries packets is not known: %v", name, err)
	}
	defer c.Close()
	// A macvlan sends as soon as it is up, and is told to be so a second later (linkwatch).
	if r.Request.Via.Kind != ViaMACVLAN {
		if err := c.Ready([]rtnl.Want{{Name: name}}, readyTimeout); err != nil {
			return fmt.Sprintf("%s is attached, and has no carrier yet: %v", name, err)
		}
	}
	if r.Request.Via.Kind == ViaBridge {
		// With the spanning tree protocol a port forwards half a minute later.
		limit := max(readyTimeout, a.o.link.Bridge.Forwarding())
		if err := forwards(ctx, a.far, r.Port, a.o.link.Name, limit); err != nil {
			return fmt.Sprintf("%s is attached, and its port %s does not forward yet: %v", name, r.Port, err)
		}
	}
	if err := tell(c, r); err != nil {
		return fmt.Sprintf("%s is attached, and was not announced to its neighbours: %v", name, err)
	}
	return ""
}

// forwards waits until a bridge's port does, and until a bridge that had no port before sends again.
func forwards(ctx context.Context, ns *os.File, port, bridge string, limit time.Duration) error {
	c, err := rtnl.Dial(ns, unix.RTNLGRP_LINK)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.ReadyContext(ctx, []rtnl.Want{{Name: port, Forward: true}, {Name: bridge, Running: true}}, limit)
}

// tell has the kernel send a gratuitous ARP (RFC 5227 section 3) and unsolicited neighbour advertisements
// (RFC 4861 section 7.2.6): it does when an interface with arp_notify and ndisc_notify is given a MAC, be it the one
// that it has. A packet socket of our own would take 10 ms to be closed (synchronize_net in
// packet_release).
func tell(c *rtnl.Conn, r *Record) error {
	mac, err := net.ParseMAC(r.MAC)
	if err != nil || !r.hasNeighbours() {
		return err
	}
	return c.Do(rtnl.Change{Index: r.Index, MAC: mac}.Request("announce " + r.Request.Interface))
}

// hasNeighbours tells whether there may be others than who is at the end of the cable.
func (r *Record) hasNeighbours() bool {
	v := &r.Request.Via
	return len(r.Addresses) > 0 && v.Kind != ViaHost && v.Kind != ViaPeer && v.Mode != "passthru"
}
