package ipam

import (
	"crypto/sha256"
	"net"
)

// InterfaceMAC is the hardware address of a node's interface.
func InterfaceMAC(lab, node, iface string) net.HardwareAddr {
	return mac("interface", lab, node, iface)
}

// BridgeMAC is the hardware address of a bridge itself.
func BridgeMAC(lab, bridge string) net.HardwareAddr {
	return mac("bridge", lab, bridge, "")
}

// HostMAC is the hardware address of the host's end of the leg to a bridge.
func HostMAC(lab, bridge string) net.HardwareAddr {
	return mac("host", lab, bridge, "")
}

// mac hashes the owner's name into a locally administered unicast address (IEEE 802,
// clause 8: bit 1 of the first octet set, bit 0 clear). 46 bits are left: among 1,000
// interfaces two are equal once in 10^8 labs.
func mac(kind, lab, owner, iface string) net.HardwareAddr {
	// No name holds a NUL, so the joined text names one owner only.
	sum := sha256.Sum256([]byte(kind + "\x00" + lab + "\x00" + owner + "\x00" + iface))
	m := net.HardwareAddr(sum[:6:6])
	m[0] = m[0]&^1 | 2
	return m
}
