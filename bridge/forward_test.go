package bridge

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// forwardingState reads all that turning the switches may change.
func forwardingState(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	for _, glob := range []string{"ipv4/ip_forward", "ipv?/conf/*/forwarding", "ipv?/conf/*/accept_redirects", "ipv6/conf/*/accept_ra"} {
		files, err := filepath.Glob(filepath.Join(procSys, "net", glob))
		must(t, err)
		for _, f := range files {
			rel, _ := filepath.Rel(procSys, f)
			v, err := readSysctl(rel)
			must(t, err)
			state[rel] = v
		}
	}
	return state
}

func TestForwardingIsPutBackExactly(t *testing.T) {
	newWorld(t)
	// A host that has its own ideas: these are what the kernel overwrites.
	for path, v := range map[string]string{
		"net/ipv4/ip_forward":                   "0",
		"net/ipv6/conf/all/forwarding":          "0",
		"net/ipv4/conf/uplink/forwarding":       "1",
		"net/ipv4/conf/all/accept_redirects":    "0",
		"net/ipv6/conf/ns0000000002/forwarding": "1",
		"net/ipv6/conf/default/forwarding":      "1",
	} {
		must(t, writeSysctl(path, v))
	}
	before := forwardingState(t)
	f, err := PlanForwarding([]Family{IPv4, IPv6})
	must(t, err)
	plan := f.Sysctls
	if d := cmp.Diff(before, forwardingState(t)); d != "" {
		t.Errorf("planning changed something: %s", d)
	}
	must(t, ApplySysctls(plan))
	during := forwardingState(t)
	for _, path := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		if during[path] != ours {
			t.Errorf("%s is %s", path, during[path])
		}
	}
	if again, err := PlanForwarding([]Family{IPv4, IPv6}); err != nil || len(again.Sysctls) != 0 || len(again.Borrowed) != 2 {
		t.Errorf("a second lab would change %v, %v", again, err)
	}
	for range 2 {
		must(t, RestoreSysctls(plan))
		if d := cmp.Diff(before, forwardingState(t)); d != "" {
			t.Errorf("not as before: %s", d)
		}
	}
	// As after an interface that was recorded has gone.
	must(t, RestoreSysctls([]Sysctl{{Path: "net/ipv4/conf/gone/forwarding", Old: "1"}}))
}

func TestForwardingOnlyWhatIsAskedFor(t *testing.T) {
	newWorld(t)
	must(t, writeSysctl("net/ipv4/ip_forward", "0"))
	must(t, writeSysctl("net/ipv6/conf/all/forwarding", "0"))
	before := forwardingState(t)
	f, err := PlanForwarding([]Family{IPv4})
	must(t, err)
	plan := f.Sysctls
	must(t, ApplySysctls(plan))
	if now := forwardingState(t); now["net/ipv6/conf/all/forwarding"] != "0" || now["net/ipv4/ip_forward"] != ours {
		t.Error("ipv4 alone was asked for")
	}
	must(t, RestoreSysctls(plan))
	if d := cmp.Diff(before, forwardingState(t)); d != "" {
		t.Error(d)
	}
	if plan, err := PlanForwarding(nil); err != nil || len(plan.Sysctls)+len(plan.Borrowed) != 0 {
		t.Errorf("nothing asked for, planned %v, %v", plan, err)
	}
}

// A leg forwards by a switch of its own, which is as for any other interface where it is not to.
func TestPlanLegs(t *testing.T) {
	newWorld(t)
	const leg = "ns0000000002"
	must(t, writeSysctl("net/ipv4/ip_forward", "0"))
	before := forwardingState(t)
	for _, c := range []struct {
		on   bool
		all  string // the host's switch
		want []Sysctl
	}{
		{true, "", []Sysctl{{Path: legSwitch(leg), Old: "0", New: "1"}}},
		{true, "", nil},
		{true, ours, nil},
		{false, ours, nil},
		{false, "0", nil},
		{true, "", []Sysctl{{Path: legSwitch(leg), Old: "0", New: "1"}}},
		{false, "", []Sysctl{{Path: legSwitch(leg), Old: "1", New: "0"}}},
	} {
		if c.all != "" {
			must(t, writeSysctl("net/ipv4/ip_forward", c.all))
		}
		plan, err := PlanLegs([]string{"nsffffffffff", leg}, c.on)
		must(t, err)
		if d := cmp.Diff(c.want, plan); d != "" {
			t.Errorf("on %t, the host's switch %q: %s", c.on, c.all, d)
		}
		must(t, ApplySysctls(plan))
	}
	must(t, writeSysctl("net/ipv4/conf/all/accept_redirects", before["net/ipv4/conf/all/accept_redirects"]))
	if d := cmp.Diff(before, forwardingState(t)); d != "" {
		t.Errorf("not as before: %s", d)
	}
	must(t, ForwardLegs([]string{"nsffffffffff", leg}))
	// What another lab needs of the host's switch does not have its leg forward later, when that is another.
	f, err := PlanForwarding([]Family{IPv4})
	must(t, err)
	for _, s := range f.Sysctls {
		if s.Path == legSwitch(leg) {
			t.Errorf("it is to be put back to %s", s.Old)
		}
	}
	if v, err := readSysctl(legSwitch(leg)); err != nil || v != "1" {
		t.Errorf("it is %s, %v", v, err)
	}
}

func TestRestoreLeavesWhatOthersChanged(t *testing.T) {
	newWorld(t)
	const path = "net/ipv6/conf/uplink/accept_ra"
	plan := []Sysctl{{Path: path, Old: "1", New: "2"}}
	must(t, ApplySysctls(plan))
	must(t, writeSysctl(path, "0"))
	must(t, RestoreSysctls(plan))
	if v, err := readSysctl(path); err != nil || v != "0" {
		t.Errorf("%s is %s, %v", path, v, err)
	}
}

// TestRouterStaysHeard lets the host learn a default route from a router, as servers do, and
// looks whether it survives forwarding.
func TestRouterStaysHeard(t *testing.T) {
	w := newWorld(t)
	must(t, writeSysctl("net/ipv6/conf/all/forwarding", "0"))
	must(t, writeSysctl("net/ipv6/conf/uplink/accept_ra", "1"))
	advertise := w.router()
	// Again until it is heard: the cable may not carry packets yet.
	if !waitFor(func() bool { advertise(); return hasDefault6(t) }) {
		t.Fatal("the host learns no default route from a router")
	}
	before := forwardingState(t)
	f, err := PlanForwarding([]Family{IPv6})
	must(t, err)
	plan := f.Sysctls
	must(t, ApplySysctls(plan))
	if !hasDefault6(t) {
		t.Error("the host lost its default route")
	}
	if v, _ := readSysctl("net/ipv6/conf/uplink/accept_ra"); v != "2" {
		t.Errorf("accept_ra is %s", v)
	}
	must(t, RestoreSysctls(plan))
	if d := cmp.Diff(before, forwardingState(t)); d != "" {
		t.Error(d)
	}
	if !hasDefault6(t) {
		t.Error("the host lost its default route in the end")
	}
}

// router is one outside, which sends a router advertisement, RFC 4861 section 4.2, at each call.
func (w *world) router() (advertise func()) {
	w.t.Helper()
	w.in(w.outerN, func() {
		eth0, err := netlink.LinkByName("eth0")
		must(w.t, err)
		must(w.t, netlink.AddrAdd(eth0, &netlink.Addr{Flags: unix.IFA_F_NODAD,
			IPNet: &net.IPNet{IP: net.ParseIP("fe80::99"), Mask: net.CIDRMask(64, 128)}}))
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
		must(w.t, err)
		w.t.Cleanup(func() { _ = unix.Close(fd) })
		index := eth0.Attrs().Index
		must(w.t, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255))
		must(w.t, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, index))
		from := &unix.SockaddrInet6{ZoneId: uint32(index)}
		copy(from.Addr[:], net.ParseIP("fe80::99"))
		must(w.t, unix.Bind(fd, from))
		to := &unix.SockaddrInet6{ZoneId: uint32(index)}
		copy(to.Addr[:], net.ParseIP("ff02::1"))
		// Type 134, hop limit 64, lifetime 1800 s; the kernel fills in the checksum.
		advertise = func() {
			must(w.t, unix.Sendto(fd, []byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}, 0, to))
		}
	})
	return advertise
}

func hasDefault6(t *testing.T) bool {
	t.Helper()
	indexes, err := routesFromAdverts()
	must(t, err)
	return len(indexes) == 1
}

func waitFor(ok func() bool) bool {
	for range 100 {
		if ok() {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

func TestApplyStopsAtTheFirstFailure(t *testing.T) {
	newWorld(t)
	must(t, writeSysctl("net/ipv4/ip_forward", "0"))
	err := ApplySysctls([]Sysctl{{Path: "net/ipv4/no_such", Old: "0", New: "1"}, {Path: "net/ipv4/ip_forward", Old: "0", New: "1"}})
	if !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if v, _ := readSysctl("net/ipv4/ip_forward"); v != "0" {
		t.Errorf("went on, ip_forward is %s", v)
	}
}
