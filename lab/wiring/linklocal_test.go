package wiring

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// The link-local address of a hardware address is given again where there is none, and not beside one
// that somebody in the node has given.
func TestLinkLocalOfAnother(t *testing.T) {
	t.Parallel()
	const mac = "02:00:00:00:03:01"
	own, _ := linkLocal(mac)
	other := netip.MustParsePrefix("fe80::70df:9ccc:1:2/64")
	global := netip.MustParsePrefix("fd00::2/64")
	for name, tc := range map[string]struct {
		want, had []netip.Prefix
		mac       string
		has       []netip.Prefix
		flags     uint32
		steps     []Step
	}{
		"its own":            {want: []netip.Prefix{own}, has: []netip.Prefix{own}},
		"both":               {want: []netip.Prefix{own}, has: []netip.Prefix{own, other}},
		"another":            {want: []netip.Prefix{own}, has: []netip.Prefix{other}},
		"none":               {want: []netip.Prefix{own}, steps: []Step{{Verb: AddAddress, Address: own}}},
		"another is in use":  {want: []netip.Prefix{own}, has: []netip.Prefix{other}, flags: unix.IFA_F_DADFAILED, steps: []Step{{Verb: AddAddress, Address: own}}},
		"no link-local":      {want: []netip.Prefix{global, own}, has: []netip.Prefix{global}, steps: []Step{{Verb: AddAddress, Address: own}}},
		"the file's is lost": {want: []netip.Prefix{netip.MustParsePrefix("fe80::1/64"), own}, has: []netip.Prefix{other}, steps: []Step{{Verb: AddAddress, Address: netip.MustParsePrefix("fe80::1/64")}}},
		"of the last file": {want: []netip.Prefix{own}, had: []netip.Prefix{other, own}, has: []netip.Prefix{other},
			steps: []Step{{Verb: AddAddress, Address: own}, {Verb: DelAddress, Address: other}}},
		"the file's beside it": {want: []netip.Prefix{other, own}, has: []netip.Prefix{other}, steps: []Step{{Verb: AddAddress, Address: own}}},
		"another hardware address": {want: []netip.Prefix{own}, mac: "02:00:00:00:03:02", has: []netip.Prefix{netip.MustParsePrefix("fe80::ff:fe00:302/64")},
			steps: []Step{{Verb: SetLink, Set: Set{MAC: mac}}, {Verb: AddAddress, Address: own}}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.mac == "" {
				tc.mac = mac
			}
			hw, err := net.ParseMAC(tc.mac)
			if err != nil {
				t.Fatal(err)
			}
			had := tc.had
			if had == nil {
				had = tc.want
			}
			p := &planner{had: &owned{addresses: map[Place]map[string][]netip.Prefix{"a": {"eth0": had}}}}
			pl := &place{net: &Net{}, byIndex: map[int][]rtnl.InterfaceAddress{}}
			for _, a := range tc.has {
				pl.byIndex[7] = append(pl.byIndex[7], rtnl.InterfaceAddress{Index: 7, Prefix: a, Flags: unix.IFA_F_PERMANENT | tc.flags})
				pl.net.Routes = append(pl.net.Routes, rtnl.TableRoute{To: a.Masked(), Index: 7})
			}
			var c Change
			why := p.end(&c, &End{Place: "a", Name: "eth0", MAC: mac, Addresses: tc.want}, pl, &rtnl.Link{Index: 7, Name: "eth0", MAC: hw, Flags: unix.IFF_UP})
			if len(c.Steps) != len(tc.steps) || len(why) != len(tc.steps) {
				t.Fatalf("%+v, %v", c.Steps, why)
			}
			for i, s := range c.Steps {
				if w := tc.steps[i]; s.Verb != w.Verb || s.Address != w.Address || s.Set.MAC != w.Set.MAC {
					t.Errorf("step %d is %+v", i, s)
				}
			}
		})
	}
}
