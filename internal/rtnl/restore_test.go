package rtnl

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// What a dump has shown is given again as it was: lifetimes, labels, scopes, several next hops.
func TestRestore(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "ip")
		run := func(args string) string {
			t.Helper()
			return testenv.MustCommand(t, append([]string{"ip"}, strings.Fields(args)...)...)
		}
		addLink(t, pair("a", "b"))
		run("link set dev b up")
		run("link set dev a up addrgenmode none")
		run("addr add 10.0.0.1/24 dev a label a:one")
		run("addr add 10.0.1.1 peer 10.0.2.2/32 dev a")
		run("-6 addr add fd00::1/64 dev a nodad")
		run("-6 addr add fd00::2/64 dev a preferred_lft 0 nodad")
		run("route add 10.5.0.0/16 via 10.0.0.9 metric 7 mtu 1300")
		run("route add 10.6.0.0/16 nexthop via 10.0.0.8 weight 2 nexthop via 10.0.0.9")
		run("route add 10.7.0.0/16 dev a table 77")
		run("-6 route add fd77::/32 via fd00::9 metric 5")
		show := func() string {
			return run("-4 addr show dev a") + run("-6 addr show dev a") + run("route show table all type unicast") + run("-6 route show dev a proto boot")
		}
		before := show()
		c := dial(t)
		index := linkOf(t, c, "a").Index
		addresses, err := c.Addresses(ThisNetns)
		if err != nil {
			t.Fatal(err)
		}
		routes, err := c.Routes()
		if err != nil {
			t.Fatal(err)
		}
		run("addr flush dev a")
		run("-6 route flush fd77::/32")  // which does not always go with the addresses
		run("-6 route flush proto boot") // these stay without the address
		if after := show(); after == before {
			t.Fatal("nothing was taken away")
		}
		for _, a := range RestoreOrder(addresses) {
			if a.Index == index {
				if err := c.Do(RestoreAddress(a.Raw, index, "restore")); err != nil {
					t.Errorf("address %s: %v", a.Prefix, err)
				}
			}
		}
		for _, r := range routes {
			if r.Kernel() {
				continue
			}
			if err := c.Do(RestoreRoute(r.Raw, 0, "restore")); err != nil {
				t.Errorf("route %+v: %v", r, err)
			}
			if err := c.Do(RestoreRoute(r.Raw, 0, "restore")); !errors.Is(err, unix.EEXIST) {
				t.Errorf("route %s a second time: %v", r.To, err)
			}
		}
		if after := show(); after != before {
			t.Errorf("there was\n%s\nthere is\n%s", before, after)
		}
		// Taken away by what the dump has shown, they are gone.
		for _, r := range routes {
			if !r.Kernel() {
				if err := c.Do(DeleteRoute(r.Raw, "delete")); err != nil {
					t.Errorf("delete %s: %v", r.To, err)
				}
			}
		}
		if left := run("route show table all proto boot") + run("-6 route show table all proto boot"); left != "" {
			t.Errorf("routes are left: %s", left)
		}
	})
}

// A route can be restored through another interface than it had.
func TestRestoreElsewhere(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		addLink(t, pair("a", "b"))
		c := dial(t)
		a, b := linkOf(t, c, "a").Index, linkOf(t, c, "b").Index
		up := true
		to := netip.MustParsePrefix("10.5.0.0/16")
		if err := c.Do(Change{Index: a, Up: &up}.Request("up"), Change{Index: b, Up: &up}.Request("up"), Route(to, netip.Addr{}, a, 0, "add")); err != nil {
			t.Fatal(err)
		}
		find := func() TableRoute {
			t.Helper()
			routes, err := c.Routes()
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(routes, func(r TableRoute) bool { return r.To == to })
			if i < 0 {
				t.Fatalf("no route to %s in %+v", to, routes)
			}
			return routes[i]
		}
		r := find()
		if err := c.Do(DeleteRoute(r.Raw, "delete"), RestoreRoute(r.Raw, b, "restore")); err != nil {
			t.Fatal(err)
		}
		if got := find().Index; r.Index != a || got != b {
			t.Errorf("it led to %d and leads to %d, not %d and %d", r.Index, got, a, b)
		}
	})
}

// Another namespace's addresses are read by its number, those of this one without.
func TestAddressesElsewhere(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		far := newNetns(t)
		addLink(t, pair("near", "far0"))
		c := dial(t)
		if err := c.Do(Change{Name: "far0", Netns: far, Rename: "", NewIndex: 4711}.Request("move")); err != nil {
			t.Fatal(err)
		}
		there, err := Dial(far)
		if err != nil {
			t.Fatal(err)
		}
		defer there.Close()
		p := netip.MustParsePrefix("10.0.0.9/24")
		if err := there.Do(Address(4711, p, "add")); err != nil {
			t.Fatal(err)
		}
		near := linkOf(t, c, "near")
		if near.Kind != "veth" || near.Lower != 4711 || near.LowerNS < 0 {
			t.Errorf("%+v", near)
		}
		list, err := c.Addresses(near.LowerNS)
		if err != nil || !slices.ContainsFunc(list, func(a InterfaceAddress) bool { return a.Index == 4711 && a.Prefix == p }) {
			t.Errorf("there: %+v, %v", list, err)
		}
		if list, err = c.Addresses(ThisNetns); err != nil || slices.ContainsFunc(list, func(a InterfaceAddress) bool { return a.Prefix == p }) {
			t.Errorf("here: %+v, %v", list, err)
		}
		if _, err := c.Addresses(9999); err == nil {
			t.Error("a namespace that is not there has addresses")
		}
	})
}

// A change does all that it says, and nothing else.
func TestChange(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		br := bridgeNamed("br")
		addLink(t, br)
		addLink(t, pair("a", "b"))
		c := dial(t)
		before := linkOf(t, c, "b")
		mark, none, up, mac := "mine", 0, true, net.HardwareAddr{2, 0, 0, 0, 0, 5}
		master := linkOf(t, c, "br").Index
		index := linkOf(t, c, "a").Index
		if err := c.Do(Change{Index: index, MAC: mac, MTU: 1400, Rename: "new", Alias: &mark, Master: &master, Up: &up}.Request("change")); err != nil {
			t.Fatal(err)
		}
		l := linkOf(t, c, "new")
		if l.Index != index || l.MAC.String() != mac.String() || l.MTU != 1400 || l.Alias != "mine" || l.Master != master || !l.Up() {
			t.Errorf("%+v", l)
		}
		if err := c.Do(Change{Name: "new", Master: &none}.Request("unplug")); err != nil {
			t.Fatal(err)
		}
		if l := linkOf(t, c, "new"); l.Master != 0 || l.Alias != "mine" || !l.Up() || l.MTU != 1400 {
			t.Errorf("unplugged: %+v", l)
		}
		if after := linkOf(t, c, "b"); after.MTU != before.MTU || after.Up() || after.Alias != "" {
			t.Errorf("the other end was %+v and is %+v", before, after)
		}
		if err := c.Do(DeleteIndex(index, "delete")); err != nil {
			t.Fatal(err)
		}
		if err := c.Do(DeleteIndex(index, "delete")); !errors.Is(err, unix.ENODEV) {
			t.Errorf("deleted twice: %v", err)
		}
	})
}

func TestMACVLAN(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		addLink(t, pair("a", "b"))
		far := newNetns(t)
		c := dial(t)
		parent := linkOf(t, c, "a").Index
		there, err := Dial(far)
		if err != nil {
			t.Fatal(err)
		}
		defer there.Close()
		for i, mode := range []string{"bridge", "private", "vepa", "passthru"} {
			r, err := MACVLAN{Name: "mv", Index: 5000 + i, Parent: parent, Mode: mode, MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(i)}, MTU: 1400, Netns: far}.Request("create")
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Do(r); err != nil {
				t.Errorf("%s: %v", mode, err)
				continue
			}
			if l := linkOf(t, there, "mv"); l.Kind != "macvlan" || l.Index != 5000+i || l.MTU != 1400 {
				t.Errorf("%s: %+v", mode, l)
			}
			if err := there.Do(DeleteIndex(5000+i, "delete")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := (MACVLAN{Mode: "none"}).Request("create"); err == nil {
			t.Error("a mode that there is not was taken")
		}
		if _, err := netlink.LinkByName("mv"); err == nil {
			t.Error("it is here")
		}
	})
}
