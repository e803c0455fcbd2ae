package attach

import (
	"net/netip"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	bridge, host := Via{Kind: ViaBridge, Name: "br0"}, Via{Kind: ViaHost}
	peer := Via{Kind: ViaPeer, Peer: Ref{ByPID, "2"}, Interface: "eth1"}
	with := func(v Via, list ...string) Via {
		v.Addresses = prefixes(list...)
		return v
	}
	route := func(to, via string) []Route {
		r := Route{To: netip.MustParsePrefix(to)}
		if via != "" {
			r.Via = netip.MustParseAddr(via)
		}
		return []Route{r}
	}
	for name, tc := range map[string]struct {
		q    Request
		want string // empty: right
	}{
		"nothing but a port":    {Request{Via: bridge}, ""},
		"both families":         {Request{Via: bridge, Addresses: prefixes("10.0.0.9/24", "fd00::9/64")}, ""},
		"point to point":        {Request{Via: with(host, "10.1.1.1/32", "fd00::1/128"), Addresses: prefixes("10.1.1.2/32", "fd00::2/128")}, ""},
		"a /31":                 {Request{Via: with(peer, "10.1.1.0/31"), Addresses: prefixes("10.1.1.1/31")}, ""},
		"no addresses at all":   {Request{Via: peer}, ""},
		"auto":                  {Request{Via: Via{Kind: ViaBridge, Lab: "l", Name: "lan0"}, Auto: true}, ""},
		"name too long":         {Request{Interface: "eth4567890123456", Via: bridge}, "16 bytes"},
		"name all":              {Request{Interface: "all", Via: bridge}, `"all"`},
		"name with %d":          {Request{Interface: "eth%d", Via: bridge}, `"eth%d"`},
		"name with a slash":     {Request{Interface: "a/b", Via: bridge}, `"a/b"`},
		"name begins with -":    {Request{Interface: "-a", Via: bridge}, `"-a"`},
		"peer's name":           {Request{Via: Via{Kind: ViaPeer, Peer: Ref{ByPID, "2"}, Interface: "lo"}}, "--peer-ifname"},
		"both ends one":         {Request{Via: Via{Kind: ViaPeer, Peer: Ref{ByPID, "1"}, Interface: "eth1"}}, "both ends"},
		"network address":       {Request{Via: bridge, Addresses: prefixes("10.0.0.0/24")}, "10.0.0.0/24"},
		"broadcast address":     {Request{Via: bridge, Addresses: prefixes("10.0.0.255/24")}, "10.0.0.255/24"},
		"multicast":             {Request{Via: bridge, Addresses: prefixes("224.0.0.5/24")}, "224.0.0.5"},
		"loopback":              {Request{Via: bridge, Addresses: prefixes("127.0.0.1/8")}, "127.0.0.1"},
		"mapped":                {Request{Via: bridge, Addresses: prefixes("::ffff:10.0.0.9/120")}, "write it as IPv4"},
		"twice":                 {Request{Via: bridge, Addresses: prefixes("10.0.0.9/24", "10.0.0.9/25")}, "given twice"},
		"twice at both ends":    {Request{Via: with(peer, "10.0.0.9/32"), Addresses: prefixes("10.0.0.9/32")}, "given twice"},
		"no peer's address":     {Request{Via: host, Addresses: prefixes("10.0.0.9/24")}, "--peer-ip, or plug into a bridge"},
		"peer of other family":  {Request{Via: with(peer, "fd00::1/128"), Addresses: prefixes("10.0.0.9/32")}, "same family"},
		"no own address":        {Request{Via: with(host, "10.0.0.9/32")}, "give --ip"},
		"peer-ip with a bridge": {Request{Via: with(bridge, "10.0.0.9/32")}, "--peer-ip"},
		"auto of the host":      {Request{Via: bridge, Auto: true}, "--bridge LAB/BRIDGE"},
		"VLAN without a bridge": {Request{Via: host, VLAN: 5}, "--vlan"},
		"VLAN 4095":             {Request{Via: bridge, VLAN: 4095}, "--vlan 4095"},
		"two gateways":          {Request{Via: bridge, Gateways: addrs("10.0.0.1", "10.0.0.2")}, "--gateway"},
		"metric alone":          {Request{Via: bridge, Metric: 5}, "--default-route"},
		"negative metric":       {Request{Via: bridge, Metric: -5, DefaultRoute: true}, "--metric -5"},
		"route with host bits":  {Request{Via: bridge, Routes: route("10.5.0.1/16", "")}, "10.5.0.0/16"},
		"route is default":      {Request{Via: bridge, Routes: route("0.0.0.0/0", "10.0.0.1")}, "--default-route"},
		"route of two families": {Request{Via: bridge, Routes: route("10.5.0.0/16", "fd00::1")}, "two families"},
		"MAC of 8 bytes":        {Request{Via: bridge, MAC: "02:00:00:00:00:00:00:01"}, "six bytes"},
		"multicast MAC":         {Request{Via: bridge, MAC: "03:00:00:00:00:01"}, "multicast"},
		"MAC of zeroes":         {Request{Via: bridge, MAC: "00:00:00:00:00:00"}, "no interface"},
		"MAC of passthru":       {Request{Via: Via{Kind: ViaMACVLAN, Name: "p0", Mode: "passthru"}, MAC: "02:00:00:00:00:01"}, "passthru"},
		"MTU":                   {Request{Via: bridge, MTU: 67}, "--mtu 67"},
		"MTU for IPv6":          {Request{Via: bridge, MTU: 1279, Addresses: prefixes("fd00::9/64")}, "1280"},
	} {
		q := tc.q
		q.Target = Ref{ByPID, "1"}
		if q.Interface == "" {
			q.Interface = "eth1"
		}
		err := q.Check()
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
