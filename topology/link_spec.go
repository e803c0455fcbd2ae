package topology

import (
	"net"
	"strings"

	"go.yaml.in/yaml/v4"
)

// linkSpec is a link as the file says it.
type linkSpec struct {
	n         *yaml.Node
	ends      []endSpec
	endsNode  *yaml.Node
	address   opt[[]prefixSpec]
	addresses opt[[]*yaml.Node] // their meaning depends on what the ends are
	mtu       opt[int]
}

// endSpec is an endpoint: "NODE:INTERFACE", "BRIDGE" or a mapping.
type endSpec struct {
	n         *yaml.Node
	node      opt[string]
	iface     opt[string]
	bridge    opt[string]
	addresses opt[[]prefixSpec]
	mac       opt[string]
	mtu       opt[int]
	slaac     opt[bool]
}

func linkKeys() []keyDef[linkSpec] {
	return []keyDef[linkSpec]{
		{"endpoints", func(d *decoder, l *linkSpec, n *yaml.Node) {
			l.endsNode = n
			items, ok := d.list(n, "endpoints")
			if ok && len(items) != 2 {
				d.errorf(n, "a link has two endpoints, not %d", len(items))
				return
			}
			l.ends = each(d, items, d.endpoint)
		}},
		{"address", func(d *decoder, l *linkSpec, n *yaml.Node) { l.address = d.addresses(n, "address") }},
		{"addresses", func(d *decoder, l *linkSpec, n *yaml.Node) {
			l.addresses = opt[[]*yaml.Node]{d.oneOrList(n), n}
		}},
		{"mtu", func(d *decoder, l *linkSpec, n *yaml.Node) { l.mtu = d.mtu(n) }},
	}
}

func endpointKeys() []keyDef[endSpec] {
	return []keyDef[endSpec]{
		{"node", func(d *decoder, e *endSpec, n *yaml.Node) { e.node = d.checked(n, "node", nil) }},
		{"interface", func(d *decoder, e *endSpec, n *yaml.Node) { e.iface = d.checked(n, "interface", nil) }},
		{"bridge", func(d *decoder, e *endSpec, n *yaml.Node) { e.bridge = d.checked(n, "bridge", nil) }},
		{"addresses", func(d *decoder, e *endSpec, n *yaml.Node) { e.addresses = d.addresses(n, "address") }},
		{"mac", func(d *decoder, e *endSpec, n *yaml.Node) { e.mac = d.mac(n) }},
		{"mtu", func(d *decoder, e *endSpec, n *yaml.Node) { e.mtu = d.mtu(n) }},
		{"slaac", func(d *decoder, e *endSpec, n *yaml.Node) { e.slaac = d.boolean(n, "slaac") }},
	}
}

func decodeLinks(d *decoder, n *yaml.Node) []linkSpec {
	items, _ := d.list(n, "links")
	if !d.atMost(n, "links", len(items), maxLinks) {
		return nil
	}
	links := make([]linkSpec, 0, len(items))
	defs := linkKeys()
	for _, item := range items {
		if d.halted {
			break
		}
		item = d.in(item)
		l := linkSpec{n: item}
		if !decodeKeys(d, item, "a link", &l, defs) {
			continue
		}
		if l.endsNode == nil {
			d.errorf(item, "endpoints is missing")
		}
		if len(l.ends) == 2 {
			links = append(links, l)
		}
	}
	return links
}

// endpoint understands one end of a link; whether its names exist is looked up later.
func (d *decoder) endpoint(n *yaml.Node) (endSpec, bool) {
	e := endSpec{n: n}
	if n.Kind == yaml.MappingNode {
		if !decodeKeys(d, n, "an endpoint", &e, endpointKeys()) {
			return e, false
		}
		return e, d.wholeEndpoint(&e)
	}
	s, ok := d.text(n, "an endpoint")
	if !ok {
		return e, false
	}
	node, iface, both := strings.Cut(s, ":")
	if !both {
		e.bridge = opt[string]{s, n}
		return e, true
	}
	e.node, e.iface = opt[string]{node, n}, opt[string]{iface, n}
	return e, d.interfaceName(e.iface)
}

// wholeEndpoint checks that an endpoint given as a mapping is an interface or a port.
func (d *decoder) wholeEndpoint(e *endSpec) bool {
	switch {
	case e.node.n == nil && e.bridge.n == nil:
		d.errorf(e.n, "an endpoint needs node and interface, or bridge")
		return false
	case e.node.n != nil && e.bridge.n != nil:
		d.errorf(e.bridge.n, "an endpoint is a node's interface or a bridge, not both")
		return false
	case e.node.n != nil && e.iface.n == nil:
		d.errorf(e.n, "interface is missing")
		return false
	case e.node.n != nil:
		return d.interfaceName(e.iface)
	}
	for _, n := range []*yaml.Node{e.iface.n, e.addresses.n, e.mac.n, e.mtu.n, e.slaac.n} {
		if n != nil {
			d.errorf(n, "a bridge's end has neither interface nor addresses, mac, mtu or slaac; they belong to the node's end")
			break
		}
	}
	return true
}

func (d *decoder) interfaceName(name opt[string]) bool {
	if err := validateInterface(name.v); err != nil {
		d.errorf(name.n, "interface name %q %v", name.v, err)
		return false
	}
	return true
}

// mac takes a unicast hardware address.
func (d *decoder) mac(n *yaml.Node) opt[string] {
	s, ok := d.text(n, "mac")
	if !ok {
		return opt[string]{}
	}
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 {
		d.errorf(n, "mac %q is not a hardware address such as 02:00:00:00:00:01", s)
		return opt[string]{}
	}
	if hw[0]&1 != 0 || hw.String() == "00:00:00:00:00:00" {
		d.errorf(n, "mac %s is not a unicast address: an interface cannot have it", s)
		return opt[string]{}
	}
	return opt[string]{hw.String(), n}
}
