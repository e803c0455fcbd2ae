package announce

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// arp returns the frame of a gratuitous ARP request: who asks for its own address. RFC 826, RFC 5227 section 3.
func arp(mac net.HardwareAddr, addr netip.Addr) []byte {
	ip := addr.As4()
	f := ethernet(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac, unix.ETH_P_ARP)
	f = binary.BigEndian.AppendUint16(f, unix.ARPHRD_ETHER)
	f = binary.BigEndian.AppendUint16(f, unix.ETH_P_IP)
	f = append(f, byte(len(mac)), byte(len(ip)))
	f = binary.BigEndian.AppendUint16(f, 1) // request
	f = append(append(f, mac...), ip[:]...)
	return append(append(f, make([]byte, len(mac))...), ip[:]...)
}

// Offsets and values of a neighbour advertisement, RFC 4861 section 4.4.
const (
	icmpv6            = 58
	typeAdvertisement = 136
	flagRouter        = 0x80
	flagOverride      = 0x20
	targetLinkAddress = 2 // the option, its length in units of 8 bytes
	hopLimit          = 255
)

// advertisement returns the frame of an unsolicited neighbour advertisement to all nodes, which overrides what they know.
// A router has to say that it is one: neighbours would give it up as their default router else.
func advertisement(mac net.HardwareAddr, addr netip.Addr, router bool) []byte {
	from := addr.As16()
	all := netip.IPv6LinkLocalAllNodes().As16()
	msg := []byte{typeAdvertisement, 0, 0, 0, flagOverride, 0, 0, 0}
	if router {
		msg[4] |= flagRouter
	}
	msg = append(append(msg, from[:]...), targetLinkAddress, 1)
	msg = append(msg, mac...)
	binary.BigEndian.PutUint16(msg[2:], checksum(from[:], all[:], msg))
	f := ethernet(net.HardwareAddr{0x33, 0x33, all[12], all[13], all[14], all[15]}, mac, unix.ETH_P_IPV6)
	f = append(f, 0x60, 0, 0, 0)
	f = binary.BigEndian.AppendUint16(f, uint16(len(msg)))
	f = append(f, icmpv6, hopLimit)
	return append(append(append(f, from[:]...), all[:]...), msg...)
}

func ethernet(to, from net.HardwareAddr, kind uint16) []byte {
	f := append(append(make([]byte, 0, 128), to...), from...)
	return binary.BigEndian.AppendUint16(f, kind)
}

// checksum is that of ICMPv6 with its pseudo-header. RFC 8200 section 8.1.
func checksum(from, to, msg []byte) uint16 {
	sum := uint32(len(msg)) + icmpv6
	for _, b := range [][]byte{from, to, msg} { // each is of even length
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
