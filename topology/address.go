package topology

import (
	"net/netip"

	"go.yaml.in/yaml/v4"

	"github.com/nsnet/nsnet/ipam"
)

// address takes an interface's address with its mask.
func (d *decoder) address(n *yaml.Node, what string) (prefixSpec, bool) {
	s, ok := d.text(n, what)
	if !ok {
		return prefixSpec{}, false
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			example := "24"
			if a.Is6() {
				example = "64"
			}
			d.errorf(n, "%s %q has no mask (did you mean \"%s/%s\"?)", what, s, s, example)
		} else {
			d.errorf(n, "%s %q is not an IP address with a mask, such as 10.0.0.1/24 or fd00::1/64", what, s)
		}
		return prefixSpec{}, false
	}
	a := p.Addr()
	reason := ""
	switch {
	case a.Is4In6():
		reason = "maps IPv4 into IPv6"
	case a.IsUnspecified(), a.IsMulticast(), a.IsLoopback(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		reason = "cannot be an interface's address"
	case ipam.Usable(p):
	case a == p.Masked().Addr() && a.Is4():
		reason = "is the address of the network itself"
	case a == p.Masked().Addr():
		reason = "is the subnet-router anycast address of its network"
	default:
		reason = "is the broadcast address of its network"
	}
	if reason != "" {
		d.errorf(n, "%s %s %s", what, s, reason)
		return prefixSpec{}, false
	}
	return prefixSpec{p, n}, true
}

// subnet takes a pool of addresses.
func (d *decoder) subnet(n *yaml.Node) (prefixSpec, bool) {
	s, ok := d.text(n, "subnet")
	if !ok {
		return prefixSpec{}, false
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		d.errorf(n, "subnet %q is not a prefix such as 10.0.0.0/24 or fd00::/64", s)
		return prefixSpec{}, false
	case p != p.Masked():
		d.errorf(n, "subnet %s has bits set behind its mask (did you mean %q?)", s, p.Masked())
		return prefixSpec{}, false
	case p.Addr().IsMulticast() || p.Bits() == 0 || p.Addr().IsLoopback():
		d.errorf(n, "subnet %s holds no addresses for interfaces", s)
		return prefixSpec{}, false
	}
	return prefixSpec{p, n}, true
}
