package topology

import (
	"net/netip"
	"testing"
)

func TestTakesOthers(t *testing.T) {
	for subnet, want := range map[string]bool{
		"10.0.0.0/8": false, "10.1.2.0/24": false, "172.31.255.0/24": false, "192.168.1.0/24": false, "100.64.0.0/16": false,
		"192.0.2.0/24": false, "203.0.113.8/29": false, "198.19.0.0/16": false,
		"fd00::/64": false, "fc00::/7": false, "fe80::/64": false, "2001:db8:1::/64": false, "3fff:1::/64": false,
		"8.8.8.0/24": true, "169.254.0.0/16": true, "169.254.169.254/32": true, "64.0.0.0/2": true, "0.0.0.0/0": true, "10.0.0.0/7": true,
		"172.32.0.0/16": true, "172.16.0.0/11": true, "192.0.0.0/16": true, "127.0.0.0/8": true, "224.0.0.0/24": true,
		"2600::/8": true, "2001:4860:4860::/64": true, "::/0": true, "fc00::/6": true,
	} {
		if got := TakesOthers(netip.MustParsePrefix(subnet)); got != want {
			t.Errorf("%s: %v, not %v", subnet, got, want)
		}
	}
}
