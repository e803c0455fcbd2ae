package bridge

import (
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Without this a test that ends on the main thread leaves that thread in a foreign namespace.
func init() { runtime.LockOSThread() }

// Addresses of the little internet that the tests run in. The outside has no route back to
// the nodes: it can only answer the host.
var (
	node1Net4, node1Net6 = netip.MustParsePrefix("10.99.1.0/24"), netip.MustParsePrefix("fd99:1::/64")
	node2Net4, node2Net6 = netip.MustParsePrefix("10.99.2.0/24"), netip.MustParsePrefix("fd99:2::/64")
	outNet4, outNet6     = netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:1::/64")
)

const (
	leg1, leg2, uplink = "ns0000000001", "ns0000000002", "uplink"
	testLab            = "demo"
)

// world is a host with two nodes on legs of their own and an outside, each a network
// namespace. The test's thread is in the host.
type world struct {
	t                          *testing.T
	host, node1, node2, outerN netns.NsHandle
}

// newWorld leaves the test's goroutine locked to a thread that dies with it.
func newWorld(t *testing.T) *world {
	t.Helper()
	testenv.Root(t)
	runtime.LockOSThread()
	// A mount namespace too, so that the lock file of iptables is not the machine's.
	must(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(t, unix.Mount("run", "/run", "tmpfs", 0, ""))
	w := &world{t: t}
	for _, ns := range []*netns.NsHandle{&w.node1, &w.node2, &w.outerN, &w.host} {
		h, err := netns.New()
		must(t, err)
		*ns = h
		t.Cleanup(func() { _ = h.Close() })
		// Without a usable link-local address a router cannot ask for its next hop, and drops.
		must(t, writeSysctl("net/ipv6/conf/default/accept_dad", "0"))
		lo, err := netlink.LinkByName("lo")
		must(t, err)
		must(t, netlink.LinkSetUp(lo))
	}
	w.cable(leg1, w.node1, node1Net4, node1Net6)
	w.cable(leg2, w.node2, node2Net4, node2Net6)
	w.cable(uplink, w.outerN, outNet4, outNet6)
	for _, ns := range []netns.NsHandle{w.node1, w.node2} {
		w.in(ns, func() {
			eth0, err := netlink.LinkByName("eth0")
			must(t, err)
			addrs, err := netlink.AddrList(eth0, netlink.FAMILY_ALL)
			must(t, err)
			for _, a := range addrs {
				if a.IP.IsLinkLocalUnicast() {
					continue
				}
				gw, _ := netip.AddrFromSlice(a.IP.Mask(a.Mask))
				must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: gw.Next().AsSlice()}))
			}
		})
	}
	return w
}

// cable joins the host to another namespace: the host is .1, the other end eth0 and .2.
func (w *world) cable(name string, ns netns.NsHandle, nets ...netip.Prefix) {
	w.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	must(w.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns)}))
	up := func(dev string, last int) {
		l, err := netlink.LinkByName(dev)
		must(w.t, err)
		for _, n := range nets {
			a := n.Addr()
			for range last {
				a = a.Next()
			}
			must(w.t, netlink.AddrAdd(l, &netlink.Addr{Flags: unix.IFA_F_NODAD, IPNet: &net.IPNet{
				IP: a.AsSlice(), Mask: net.CIDRMask(n.Bits(), n.Addr().BitLen())}}))
		}
		must(w.t, netlink.LinkSetUp(l))
	}
	up(name, 1)
	w.in(ns, func() { up("eth0", 2) })
}

// in runs f in another namespace.
func (w *world) in(ns netns.NsHandle, f func()) {
	w.t.Helper()
	must(w.t, netns.Set(ns))
	defer func() { must(w.t, netns.Set(w.host)) }()
	f()
}

// forward turns the host into a router.
func (w *world) forward() {
	w.t.Helper()
	plan, err := PlanForwarding(Families())
	must(w.t, err)
	must(w.t, ApplySysctls(plan.Sysctls))
}

// seenFrom sends a datagram to another namespace's .2 and returns the sender's address as it
// is seen there, or none when nothing arrives.
func (w *world) seenFrom(from, to netns.NsHandle, subnet netip.Prefix) netip.Addr {
	w.t.Helper()
	var server *net.UDPConn
	var err error
	dst := netip.AddrPortFrom(subnet.Addr().Next().Next(), 7777)
	w.in(to, func() { server, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(dst)) })
	must(w.t, err)
	defer server.Close()
	w.in(from, func() {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(dst))
		must(w.t, err)
		defer c.Close()
		_, err = c.Write([]byte("hello"))
		must(w.t, err)
	})
	must(w.t, server.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
	_, src, err := server.ReadFromUDPAddrPort(make([]byte, 16))
	if err != nil {
		return netip.Addr{}
	}
	return src.Addr().Unmap()
}

// ping tells whether a namespace gets an answer from another's .2.
func (w *world) ping(from netns.NsHandle, to netip.Prefix) bool {
	w.t.Helper()
	ok := false
	w.in(from, func() {
		ok = exec.Command("ping", "-n", "-c", "1", "-W", "0.3", to.Addr().Next().Next().String()).Run() == nil
	})
	return ok
}

// reaches is ping for where an answer is expected: one that is late on a busy machine is asked for again.
func (w *world) reaches(from netns.NsHandle, to netip.Prefix) bool {
	w.t.Helper()
	return waitFor(func() bool { return w.ping(from, to) })
}

// run runs a program in the host.
func (w *world) run(name string, args ...string) string {
	w.t.Helper()
	testenv.Need(w.t, name)
	path, err := lookPath(name)
	must(w.t, err)
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
