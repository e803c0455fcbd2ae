package lab

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/topology"
)

// What the host has to forward for a lab, by which switches.
func TestRoutingOf(t *testing.T) {
	t.Parallel()
	of := func(name, more string, addresses ...string) topology.Bridge {
		b := topology.Bridge{Name: name, NAT: strings.Contains(more, "nat"), External: strings.Contains(more, "external")}
		if strings.Contains(more, "peers") {
			b.Peers = []string{"other/b"}
		}
		for _, a := range addresses {
			b.Addresses = append(b.Addresses, netip.MustParsePrefix(a))
		}
		return b
	}
	const v4, v6, v4b, v6b = "10.0.0.1/24", "fd00::1/64", "10.0.1.1/24", "fd00:1::1/64"
	all := func(names ...string) (legs []string) {
		for _, n := range names {
			legs = append(legs, bridge.LegName("l", n))
		}
		return legs
	}
	for name, c := range map[string]struct {
		bridges []topology.Bridge
		want    routing
	}{
		"none":                 {nil, routing{}},
		"one":                  {[]topology.Bridge{of("a", "", v4, v6)}, routing{all: all("a")}},
		"one of each family":   {[]topology.Bridge{of("a", "", v4), of("b", "", v6)}, routing{all: all("a", "b")}},
		"one without address":  {[]topology.Bridge{of("a", "", v4), of("b", "")}, routing{all: all("a")}},
		"one beside the hosts": {[]topology.Bridge{of("a", "", v4), of("b", "external", v4b)}, routing{all: all("a")}},
		"two":                  {[]topology.Bridge{of("a", "", v4), of("b", "", v4b)}, routing{all("a", "b"), nil, all("a", "b"), []string{"a", "b"}}},
		"two of IPv6":          {[]topology.Bridge{of("a", "", v6), of("b", "", v6b)}, routing{all("a", "b"), []bridge.Family{bridge.IPv6}, nil, []string{"a", "b"}}},
		"two, one of both":     {[]topology.Bridge{of("a", "", v4, v6), of("b", "", v4b)}, routing{all("a", "b"), nil, all("a", "b"), []string{"a", "b"}}},
		"nat":                  {[]topology.Bridge{of("a", "nat", v4)}, routing{all("a"), []bridge.Family{bridge.IPv4}, nil, nil}},
		"nat beside":           {[]topology.Bridge{of("a", "nat", v4), of("b", "", v4b, v6)}, routing{all("a", "b"), []bridge.Family{bridge.IPv4}, all("a", "b"), []string{"a", "b"}}},
		"peers":                {[]topology.Bridge{of("a", "peers", v4, v6)}, routing{all("a"), []bridge.Family{bridge.IPv6}, all("a"), nil}},
	} {
		l := &topology.Lab{Name: "l", Bridges: c.bridges}
		if diff := cmp.Diff(c.want, routingOf(l), cmp.AllowUnexported(routing{})); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
		// A kernel that cannot keep others out is not made a router, but for nat, which it refuses.
		if got := (&record{NoTable: true}).routing(l); !got.none() && !strings.HasPrefix(name, "nat") {
			t.Errorf("%s, without a table: %+v", name, got)
		}
	}
}

// A switch of one family is no duty of a lab that needs the other alone, and what is turned off leaves the legs that forward by themselves.
func TestReleaseOfOneFamily(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		const v6, leg = "net/ipv6/conf/all/forwarding", "ns0123456789"
		testenv.MustCommand(t, "ip", "link", "add", leg, "type", "veth", "peer", "name", leg+"p")
		t.Cleanup(func() { testenv.MustCommand(t, "ip", "link", "delete", leg) })
		set := func(path, v string) {
			if err := os.WriteFile("/proc/sys/"+path, []byte(v), 0); err != nil {
				t.Fatal(err)
			}
		}
		get := func(path string) string {
			b, err := os.ReadFile("/proc/sys/" + path)
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(b))
		}
		t.Cleanup(func() { set(v6, "0"); set(forward, "0") })
		set(forward, "2")
		set(v6, "2")
		duty := []bridge.Sysctl{{Path: forward, Old: "0", New: "2"}, {Path: v6, Old: "0", New: "2"}}
		mine := record{Name: "mine", NAT: true, Forwards: bridge.Families(), Sysctls: duty}
		madeUp(t, mine)
		dir := madeUp(t, record{Name: "other", Forwards: []bridge.Family{bridge.IPv6}, Routed: []string{leg}, Built: true})
		hold(t, dir, aliveFile, "1\n")
		// On its way to need IPv6 alone, it keeps that.
		left, err := releaseSysctls(&mine, &record{Forwards: []bridge.Family{bridge.IPv6}})
		if err != nil || cmp.Diff(left, duty[1:]) != "" || get(forward) != "0" || get(v6) != "2" {
			t.Errorf("it keeps %+v, error %v; IPv4 %s, IPv6 %s", left, err, get(forward), get(v6))
		}
		if get("net/ipv4/conf/"+leg+"/forwarding") == "0" {
			t.Error("another lab's leg forwards no more")
		}
		mine.Sysctls = left
		left, err = releaseSysctls(&mine, &record{})
		if err != nil || len(left) != 0 || get(v6) != "2" {
			t.Errorf("it keeps %+v, error %v; IPv6 %s", left, err, get(v6))
		}
		if r, err := readRecord(dir); err != nil || cmp.Diff(r.Sysctls, duty[1:]) != "" {
			t.Errorf("the other lab's duty is %+v, error %v", r.Sysctls, err)
		}
	})
}
