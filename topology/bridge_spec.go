package topology

import (
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v4"
)

// MTUs that Linux accepts for a veth and for an interface that speaks IPv6 (RFC 8200
// section 5).
const (
	minMTU     = 68
	minMTU6    = 1280
	maxMTU     = 65535
	defaultMTU = 1500
)

// prefixSpec is an address with its mask, or a subnet.
type prefixSpec struct {
	p netip.Prefix
	n *yaml.Node
}

// bridgeSpec is a bridge as the file says it.
type bridgeSpec struct {
	name string
	n    *yaml.Node // the key

	address  opt[[]prefixSpec]
	subnet   opt[[]prefixSpec]
	nat      opt[bool]
	stp      opt[bool]
	mtu      opt[int]
	external opt[bool]
	peers    opt[[]peerSpec]
}

// peerSpec is a bridge of another lab.
type peerSpec struct {
	lab, bridge string
	n           *yaml.Node
}

func bridgeKeys() []keyDef[bridgeSpec] {
	return []keyDef[bridgeSpec]{
		{"address", func(d *decoder, b *bridgeSpec, n *yaml.Node) { b.address = d.addresses(n, "address") }},
		{"subnet", func(d *decoder, b *bridgeSpec, n *yaml.Node) {
			b.subnet = opt[[]prefixSpec]{each(d, d.oneOrList(n), d.subnet), n}
		}},
		{"nat", func(d *decoder, b *bridgeSpec, n *yaml.Node) { b.nat = d.boolean(n, "nat") }},
		{"stp", func(d *decoder, b *bridgeSpec, n *yaml.Node) { b.stp = d.boolean(n, "stp") }},
		{"mtu", func(d *decoder, b *bridgeSpec, n *yaml.Node) { b.mtu = d.mtu(n) }},
		{"external", func(d *decoder, b *bridgeSpec, n *yaml.Node) { b.external = d.boolean(n, "external") }},
		{"peers", func(d *decoder, b *bridgeSpec, n *yaml.Node) {
			b.peers = opt[[]peerSpec]{each(d, d.oneOrList(n), d.peer), n}
		}},
	}
}

// peer takes a bridge of another lab, "LAB/BRIDGE".
func (d *decoder) peer(n *yaml.Node) (peerSpec, bool) {
	s, ok := d.text(n, "peers")
	if !ok {
		return peerSpec{}, false
	}
	lab, bridge, cut := strings.Cut(s, "/")
	if !cut {
		d.errorf(n, "peer %q is not LAB/BRIDGE, a bridge of another lab", s)
		return peerSpec{}, false
	}
	err := validateName(lab)
	if err == nil {
		err = validateInterface(bridge)
	}
	if err != nil {
		d.errorf(n, "peer %q %v", s, err)
	}
	return peerSpec{lab, bridge, n}, err == nil
}

func decodeBridges(d *decoder, n *yaml.Node) []bridgeSpec {
	es, _ := d.entries(n, "bridges")
	if !d.atMost(n, "bridges", len(es), maxBridges) {
		return nil
	}
	bridges := make([]bridgeSpec, 0, len(es))
	defs := bridgeKeys()
	for _, e := range es {
		if d.halted {
			break
		}
		if err := validateInterface(e.key); err != nil {
			d.errorf(e.k, "bridge name %q %v", e.key, err)
		}
		bridges = append(bridges, bridgeSpec{name: e.key, n: e.k})
		decodeKeys(d, e.v, "bridge "+e.key, &bridges[len(bridges)-1], defs)
	}
	return bridges
}

func (d *decoder) mtu(n *yaml.Node) opt[int] {
	v, ok := d.integer(n, "mtu", minMTU, maxMTU)
	if !ok {
		return opt[int]{}
	}
	return opt[int]{int(v), n}
}

// addresses takes one address with its mask, or a list of them.
func (d *decoder) addresses(n *yaml.Node, what string) opt[[]prefixSpec] {
	return opt[[]prefixSpec]{each(d, d.oneOrList(n), func(n *yaml.Node) (prefixSpec, bool) {
		return d.address(n, what)
	}), n}
}
