package topology

import "net/netip"

// ownSubnets are networks that a lab may give its bridges unasked: they are nobody's in the internet, or for examples. A host may be in one of
// them, too; then its routes tell, and up refuses the same network twice.
func ownSubnets() []netip.Prefix {
	var all []netip.Prefix
	for _, s := range []string{
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", // private, RFC 1918
		"100.64.0.0/10",                                     // behind carriers' translation, RFC 6598
		"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", // documentation, RFC 5737
		"198.18.0.0/15", // benchmarks, RFC 2544
		"fc00::/7",      // unique local, RFC 4193
		"fe80::/10",     // link-local, which is each interface's own
		"2001:db8::/32", // documentation, RFC 3849
		"3fff::/20",     // documentation, RFC 9637
		"2001:2::/48",   // benchmarks, RFC 5180
	} {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// TakesOthers reports whether packets of the host's to a subnet could be meant for somebody beyond a lab, or those from it be taken for his:
// it is not within a network that is private, or for documentation or benchmarks. 169.254.0.0/16 is where clouds tell machines their credentials.
func TakesOthers(subnet netip.Prefix) bool {
	for _, o := range ownSubnets() {
		if o.Bits() <= subnet.Bits() && o.Contains(subnet.Addr()) {
			return false
		}
	}
	return true
}
