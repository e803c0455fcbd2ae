package attach

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// readyTimeout bounds the wait for the carriers.
const readyTimeout = 3 * time.Second

// announce waits until the interface carries packets and tells its neighbours where its addresses
// are, who may have known somebody else by them. It returns what the user should know if not.
func (a *attachment) announce(r *Record) string {
	name := r.Request.Interface
	// A macvlan sends as soon as it is up, and is told to be so a second later (linkwatch).
	if r.Request.Via.Kind != ViaMACVLAN {
		if err := ready(a.target.netns, rtnl.Want{Name: name}); err != nil {
			return fmt.Sprintf("%s is attached, and has no carrier yet: %v", name, err)
		}
	}
	if r.Request.Via.Kind == ViaBridge && !a.o.link.Bridge.STP { // with it a port forwards half a minute later, and that is meant
		if err := ready(a.far, rtnl.Want{Name: r.Port, Forward: true}); err != nil {
			return fmt.Sprintf("%s is attached, and its port %s does not forward yet: %v", name, r.Port, err)
		}
	}
	if err := tell(a.target.netns, r.Index, r.MAC, r.Addresses); err != nil {
		return fmt.Sprintf("%s is attached, and was not announced to its neighbours: %v", name, err)
	}
	return ""
}

func ready(ns *os.File, want rtnl.Want) error {
	c, err := rtnl.Dial(ns, unix.RTNLGRP_LINK)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Ready([]rtnl.Want{want}, readyTimeout)
}

// tell sends a gratuitous ARP (RFC 5227 section 3) or an unsolicited neighbour advertisement (RFC
// 4861 section 7.2.6) for each address, through the interface with this index. packet(7).
func tell(ns *os.File, index int, mac string, addresses []netip.Prefix) error {
	hw, err := net.ParseMAC(mac)
	if err != nil || len(addresses) == 0 {
		return err
	}
	return rtnl.In(ns, func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		var errs []error
		for _, p := range addresses {
			frame := arpAnnouncement(hw, p.Addr())
			if p.Addr().Is6() {
				frame = advertisement(hw, p.Addr())
			}
			to := unix.SockaddrLinklayer{Ifindex: index, Halen: 6}
			copy(to.Addr[:], frame)
			errs = append(errs, unix.Sendto(fd, frame, 0, &to))
		}
		return errors.Join(errs...)
	})
}

const etherTypeARP, etherTypeIPv6 = 0x0806, 0x86dd

// arpAnnouncement is an Ethernet frame: an ARP request for the address that it also comes from. RFC 826.
func arpAnnouncement(mac net.HardwareAddr, a netip.Addr) []byte {
	b := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac...)
	b = binary.BigEndian.AppendUint16(b, etherTypeARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 1) // Ethernet, IPv4, request
	b = append(b, mac...)
	b = append(b, a.AsSlice()...)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return append(b, a.AsSlice()...)
}

// advertisement is an Ethernet frame: a neighbour advertisement to all nodes that overrides
// what they know. RFC 4861 section 4.4.
func advertisement(mac net.HardwareAddr, a netip.Addr) []byte {
	const (
		icmpv6, hops      = 58, 255
		advertise         = 136
		override          = 0x20
		targetLinkAddress = 2
	)
	allNodes := netip.MustParseAddr("ff02::1").As16()
	from := a.As16()
	body := append([]byte{advertise, 0, 0, 0, override, 0, 0, 0}, from[:]...)
	body = append(body, targetLinkAddress, 1)
	body = append(body, mac...)
	pseudo := append(append([]byte{}, from[:]...), allNodes[:]...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(body)))
	pseudo = append(pseudo, 0, 0, 0, icmpv6)
	binary.BigEndian.PutUint16(body[2:], checksum(append(pseudo, body...)))
	b := append([]byte{0x33, 0x33, 0, 0, 0, 1}, mac...)
	b = binary.BigEndian.AppendUint16(b, etherTypeIPv6)
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	b = append(b, icmpv6, hops)
	b = append(b, from[:]...)
	b = append(b, allNodes[:]...)
	return append(b, body...)
}

// checksum is the Internet's. RFC 1071. Its input has an even length.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
