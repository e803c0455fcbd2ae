package topology

import (
	"net/netip"
	"strings"
	"testing"
)

func TestHostBridge(t *testing.T) {
	t.Parallel()
	host := func(mtu int, addresses ...string) Options {
		h := HostBridge{MTU: mtu}
		for _, a := range addresses {
			h.Addresses = append(h.Addresses, netip.MustParsePrefix(a))
		}
		return Options{HostBridge: func(name string) (HostBridge, bool) { return h, name == "x" }}
	}
	const file = "name: t\nnodes: {a: , b: }\nbridges: {x: {external: true, KEYS}}\nlinks:\n  - {endpoints: ['a:e', x], LINK}\n  - endpoints: ['b:e', x]\n"
	for name, c := range map[string]struct {
		keys, link string
		o          Options
		mtu        [2]int
		addresses  string // of a and b
		err        string
	}{
		"not looked at":          {"subnet: 10.0.0.0/24", "", Options{}, [2]int{1500, 1500}, "10.0.0.1/24 10.0.0.2/24", ""},
		"not looked at, larger":  {"subnet: 10.0.0.0/24", "mtu: 9000", Options{}, [2]int{9000, 1500}, "10.0.0.1/24 10.0.0.2/24", ""},
		"not there":              {"subnet: 10.0.0.0/24", "", Options{HostBridge: func(string) (HostBridge, bool) { return HostBridge{}, false }}, [2]int{1500, 1500}, "10.0.0.1/24 10.0.0.2/24", ""},
		"mtu of the host":        {"subnet: 10.0.0.0/24", "", host(9000), [2]int{9000, 9000}, "10.0.0.1/24 10.0.0.2/24", ""},
		"mtu of the file":        {"subnet: 10.0.0.0/24, mtu: 2000", "", host(9000), [2]int{2000, 2000}, "10.0.0.1/24 10.0.0.2/24", ""},
		"mtu of the link":        {"subnet: 10.0.0.0/24", "mtu: 1300", host(1400), [2]int{1300, 1400}, "10.0.0.1/24 10.0.0.2/24", ""},
		"larger than the host's": {"subnet: 10.0.0.0/24", "mtu: 1500", host(1400), [2]int{}, "", "mtu 1500 is larger than that of bridge x, which is 1400"},
		"IPv6 and the host's":    {"subnet: 'fd00::/64'", "", host(1000), [2]int{}, "", "t.yaml:3:11: bridge x of the host has the mtu 1000, which is too small for IPv6"},
		"its address":            {"subnet: 10.0.0.0/24", "", host(1500, "10.0.0.1/24", "10.9.0.1/24", "fe80::1/64"), [2]int{1500, 1500}, "10.0.0.2/24 10.0.0.3/24", ""},
		"that the file knows":    {"address: 10.0.0.2/24", "", host(1500, "10.0.0.2/24", "10.0.0.3/24"), [2]int{1500, 1500}, "10.0.0.1/24 10.0.0.4/24", ""},
		"a fixed one":            {"subnet: 10.0.0.0/24", "address: 10.0.0.1/24", host(1500, "10.0.0.1/16"), [2]int{}, "", "duplicate address 10.0.0.1: the host, on its bridge x, has it already"},
		"IPv6":                   {"subnet: 'fd00::/64'", "", host(1500, "fd00::1/64"), [2]int{1500, 1500}, "fd00::2/64 fd00::3/64", ""},
	} {
		text := strings.NewReplacer("KEYS", c.keys, ", LINK", strings.TrimSuffix(", "+c.link, ", ")).Replace(file)
		l, err := Parse("t.yaml", []byte(text), c.o)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a, b := l.Links[0].A, l.Links[1].A
		if got := a.Addresses[0].String() + " " + b.Addresses[0].String(); got != c.addresses || [2]int{a.MTU, b.MTU} != c.mtu {
			t.Errorf("%s: %s, %d and %d", name, got, a.MTU, b.MTU)
		}
	}
}
