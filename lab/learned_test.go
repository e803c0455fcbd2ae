package lab

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab/wiring"
)

func TestLearned(t *testing.T) {
	address := func(index int, prefix string) rtnl.InterfaceAddress {
		return rtnl.InterfaceAddress{Index: index, Prefix: netip.MustParsePrefix(prefix)}
	}
	net := &wiring.Net{
		Links: []rtnl.Link{{Index: 1, Name: "lo", MTU: 65536}, {Index: 2, Name: "eth0"}, {Index: 4, Name: "eth1"}, {Index: 7, Name: "dummy0", MTU: 1500}, {Index: 8, Name: "idle0"}},
		Addresses: []rtnl.InterfaceAddress{
			address(1, "127.0.0.1/8"), address(1, "::1/128"), address(1, "10.255.0.1/32"),
			address(2, "10.0.0.2/24"), address(2, "fe80::1/64"), address(2, "fd00::9/64"),
			address(4, "192.0.2.7/24"), address(4, "169.254.3.4/16"), address(7, "198.51.100.1/32"), address(8, "fe80::2/64"),
		},
	}
	got := learned([]InterfaceStatus{{Name: "eth0", Addresses: []string{"10.0.0.2/24"}}, {Name: "eth1", Addresses: []string{}}}, net)
	want := []InterfaceStatus{
		{Name: "eth0", Addresses: []string{"10.0.0.2/24"}, Learned: []string{"fd00::9/64"}},
		{Name: "eth1", Addresses: []string{}, Learned: []string{"192.0.2.7/24", "169.254.3.4/16"}},
		{Name: "lo", MTU: 65536, Addresses: []string{}, Learned: []string{"10.255.0.1/32"}, Own: true},
		{Name: "dummy0", MTU: 1500, Addresses: []string{}, Learned: []string{"198.51.100.1/32"}, Own: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
