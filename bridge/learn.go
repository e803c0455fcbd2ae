package bridge

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The kernel has one table of neighbours for all network namespaces of a machine, of 1,024 entries where nobody has changed
// gc_thresh3, and what is not in it is not reached. An entry comes from each address that asks for the host by ARP or neighbour
// discovery, from each that the host answers, and from each that a packet is forwarded to. So of each a lab has a bounded
// number of places: one for each of its own addresses, which is never taken by another, and these besides. They are for addresses
// that a DHCP client has got, somebody has added by hand, or a program in a node makes; an unused one is free after the time.
const (
	sparePlaces  = 64
	spareHops    = 128
	placeTimeout = 2 * time.Minute
	hopTimeout   = 30 * time.Second
)

// family is what differs between IPv4 and IPv6 where packets are looked at.
type ipFamily struct {
	suffix    string
	etherType uint16
	nfproto   byte
	key       nftables.SetDatatype
	source    int // where the address is in the header
	length    int
	nextHop   expr.RtKey
}

func families() []ipFamily {
	return []ipFamily{
		{"4", unix.ETH_P_IP, unix.NFPROTO_IPV4, nftables.TypeIPAddr, 12, 4, expr.RtNexthop4},
		{"6", unix.ETH_P_IPV6, unix.NFPROTO_IPV6, nftables.TypeIP6Addr, 8, 16, expr.RtNexthop6},
	}
}

// own are the lab's own addresses of a family.
func (c *Config) own(f ipFamily) (keys [][]byte) {
	seen := make(map[netip.Addr]bool, len(c.Addresses))
	for _, a := range c.Addresses {
		if a.BitLen() == f.length*8 && !seen[a] {
			seen[a] = true
			keys = append(keys, a.AsSlice())
		}
	}
	return keys
}

// places is a set of so many spare places besides those of the lab's own addresses.
func (c *Config) places(b *batch, f ipFamily, name string, spare int) {
	own := c.own(f)
	b.set(set{name: name + f.suffix, key: f.key, elements: own, size: len(own)*2 + spare})
}

// hasPlace is for what is in the register and has a place in a set, or gets one.
func hasPlace(set string, timeout time.Duration) []expr.Any {
	return []expr.Any{&expr.Dynset{SrcRegKey: reg, SetName: set, Operation: uint32(unix.NFT_DYNSET_OP_UPDATE), Timeout: timeout}}
}

const (
	setHops    = "hops"
	setSources = "sources"
	setOnLink  = "on-link"
	setSubnets = "subnets"
	chainLeg   = "leg"
)

// hops bounds to how many neighbours the host forwards what comes from the lab's legs.
func (c *Config) hops(b *batch) {
	for _, f := range families() {
		c.places(b, f, setHops, spareHops)
	}
	b.chain(chainHops, nil)
	for _, f := range families() {
		b.rule(chainHops, is(expr.MetaKeyNFPROTO, []byte{f.nfproto}), []expr.Any{&expr.Rt{Register: reg, Key: f.nextHop}}, hasPlace(setHops+f.suffix, hopTimeout), accept())
	}
	b.rule(chainHops, drop())
}

// ingress fills the table that looks at what comes in by the legs, before anything else of the host does: what bears a source that is
// not the lab's is dropped, and who may become a neighbour has to have a place.
func (c *Config) ingress(b *batch, table string) {
	b.open(unix.NFPROTO_NETDEV, table, mark(c.Lab))
	b.set(set{name: setLegs, key: nftables.TypeIFName, elements: c.legNames(func(*Leg) bool { return true })})
	for _, f := range families() {
		c.places(b, f, setSources, sparePlaces)
		b.set(set{name: setOnLink + f.suffix, key: f.key, elements: ranges(c.onLink(f)), interval: true})
		b.set(set{name: setSubnets + f.suffix, key: f.key, elements: ranges(ofFamily(f, c.Subnets)), interval: true})
	}
	b.set(set{name: setNear, key: nftables.TypeIFName, elements: c.near()})
	b.chain(chainLeg, nil)
	c.arp(b)
	for _, f := range families() {
		c.errors(b, f)
		c.sources(b, f)
	}
	// The kernel takes two tags of VLAN 0 off, and this hook sees but one gone.
	for _, proto := range []uint16{unix.ETH_P_8021Q, unix.ETH_P_8021AD} {
		b.rule(chainLeg, ether(proto), drop())
	}
	names := make([]string, 0, len(c.Legs))
	for i := range c.Legs {
		names = append(names, c.Legs[i].Interface)
	}
	for i := 0; i < len(names); i += devicesMax {
		base := fmt.Sprintf("ingress%d", i/devicesMax)
		b.chain(base, &hook{kind: "filter", number: unix.NF_NETDEV_INGRESS, devices: names[i:min(i+devicesMax, len(names))]})
		b.rule(base, verdict(expr.VerdictJump, chainLeg))
		c.untracked(b, base)
	}
}

func ether(proto uint16) []expr.Any {
	return is(expr.MetaKeyPROTOCOL, binary.BigEndian.AppendUint16(nil, proto))
}

// onLink are the subnets of the legs themselves, whose addresses the host asks for; for IPv6 the link-local one, too.
func (c *Config) onLink(f ipFamily) []netip.Prefix {
	var all []netip.Prefix
	for i := range c.Legs {
		all = append(all, ofFamily(f, c.Legs[i].Addresses)...)
	}
	if f.length == 16 {
		all = append(all, netip.MustParsePrefix("fe80::/10"))
	}
	return all
}

func ofFamily(f ipFamily, all []netip.Prefix) (of []netip.Prefix) {
	for _, p := range all {
		if p.Addr().BitLen() == f.length*8 {
			of = append(of, p.Masked())
		}
	}
	return of
}

// arp is for who asks by ARP, RFC 826: the sender's address is behind its hardware address. A probe has none.
func (c *Config) arp(b *batch) {
	const sender = 14
	b.rule(chainLeg, ether(unix.ETH_P_ARP), field(expr.PayloadBaseNetworkHeader, sender, make([]byte, 4)), leave())
	b.rule(chainLeg, ether(unix.ETH_P_ARP), []expr.Any{load(expr.PayloadBaseNetworkHeader, sender, 4)}, hasPlace(setSources+"4", placeTimeout), leave())
	b.rule(chainLeg, ether(unix.ETH_P_ARP), drop())
}

// sources is for packets by their source. Behind a router there may be any number of the lab's: the router alone is a neighbour then. What
// the host itself routes into the lab is the lab's, too.
func (c *Config) sources(b *batch, f ipFamily) {
	src := load(expr.PayloadBaseNetworkHeader, f.source, f.length)
	placed := append([]expr.Any{src}, hasPlace(setSources+f.suffix, placeTimeout)...)
	b.rule(chainLeg, ether(f.etherType), field(expr.PayloadBaseNetworkHeader, f.source, make([]byte, f.length)), leave())
	if f.length == 16 {
		// Neighbour discovery, RFC 4861: solicitations and advertisements of routers and neighbours, and redirects.
		discovery := append(is(expr.MetaKeyL4PROTO, []byte{unix.IPPROTO_ICMPV6}), load(expr.PayloadBaseTransportHeader, 0, 1),
			&expr.Range{Op: expr.CmpOpEq, Register: reg, FromData: []byte{133}, ToData: []byte{137}})
		b.rule(chainLeg, ether(f.etherType), discovery, placed, leave())
		b.rule(chainLeg, ether(f.etherType), discovery, drop())
	}
	onLink := []expr.Any{src, &expr.Lookup{SourceRegister: reg, SetName: setOnLink + f.suffix}}
	b.rule(chainLeg, ether(f.etherType), onLink, placed, leave())
	b.rule(chainLeg, ether(f.etherType), onLink, drop())
	b.rule(chainLeg, ether(f.etherType), []expr.Any{src, &expr.Lookup{SourceRegister: reg, SetName: setSubnets + f.suffix}}, leave())
	b.rule(chainLeg, ether(f.etherType), []expr.Any{&expr.Fib{Register: reg, ResultOIFNAME: true, FlagSADDR: true}, &expr.Lookup{SourceRegister: reg, SetName: setLegs}}, leave())
	b.rule(chainLeg, ether(f.etherType), drop())
}
