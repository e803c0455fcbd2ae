package rtnl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// dial is a Conn in the test's own network namespace.
func dial(t *testing.T, groups ...int) *Conn {
	t.Helper()
	c, err := Dial(nil, groups...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// addLink makes an interface until the test ends.
func addLink(t *testing.T, l netlink.Link) {
	t.Helper()
	if err := netlink.LinkAdd(l); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(l) })
}

func attrs(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name = name
	return a
}

func pair(a, b string) *netlink.Veth { return &netlink.Veth{LinkAttrs: attrs(a), PeerName: b} }

func bridgeNamed(name string) *netlink.Bridge { return &netlink.Bridge{LinkAttrs: attrs(name)} }

// newNetns is a network namespace that ends with the test.
func newNetns(t *testing.T) *os.File {
	t.Helper()
	made := make(chan error)
	var ns *os.File
	go func() {
		// Its thread is given up: the namespace hangs on the descriptor alone.
		made <- lockedUnshare(&ns)
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

func linkOf(t *testing.T, c *Conn, name string) Link {
	t.Helper()
	links, err := c.Links()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(links, func(l Link) bool { return l.Name == name })
	if i < 0 {
		t.Fatalf("no interface %s among %+v", name, links)
	}
	return links[i]
}

func TestLinks(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		c := dial(t)
		if lo := linkOf(t, c, "lo"); lo.Index != 1 || lo.Flags&unix.IFF_UP == 0 || lo.Flags&unix.IFF_LOOPBACK == 0 || lo.Master != 0 {
			t.Errorf("lo is %+v", lo)
		}
		addLink(t, bridgeNamed("br"))
		addLink(t, pair("a", "b"))
		br := linkOf(t, c, "br")
		for _, r := range []Request{Alias("a", "nsnet:x:y", "mark a"), SetMaster("a", br.Index, "plug a in"), Up("b", "bring up b"), Up("br", "bring up br")} {
			if err := c.Do(r); err != nil {
				t.Fatal(err)
			}
		}
		a, b := linkOf(t, c, "a"), linkOf(t, c, "b")
		if a.Master != br.Index || a.Alias != "nsnet:x:y" || a.Flags&unix.IFF_UP == 0 {
			t.Errorf("the port is %+v", a)
		}
		if b.Master != 0 || b.Alias != "" || b.Flags&unix.IFF_UP == 0 {
			t.Errorf("its peer is %+v", b)
		}
		if err := c.Do(Delete("a", "delete a")); err != nil {
			t.Fatal(err)
		}
		links, err := c.Links()
		if err != nil || slices.ContainsFunc(links, func(l Link) bool { return l.Name == "a" || l.Name == "b" }) {
			t.Errorf("after a was deleted: %+v, error %v", links, err)
		}
	})
}

// More links than one datagram of a dump holds, made by more requests than one batch has.
func TestManyLinks(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		const n = 70 // pairs
		c := dial(t)
		var create, remove []Request
		for i := range n {
			req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
			req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
			req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(fmt.Sprintf("v%d", i))))
			info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
			info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
			req.AddData(info)
			create = append(create, Request{req, fmt.Sprintf("create v%d", i)})
			remove = append(remove, Delete(fmt.Sprintf("v%d", i), "delete"))
		}
		if err := c.Do(create...); err != nil {
			t.Fatal(err)
		}
		links, err := c.Links()
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, l := range links {
			seen[l.Name] = true
		}
		for i := range n {
			if !seen[fmt.Sprintf("v%d", i)] {
				t.Fatalf("v%d is not among %d links", i, len(links))
			}
		}
		if err := c.Do(remove...); err != nil {
			t.Error(err)
		}
	})
}

// The kernel goes on after what it refuses; the error names the first refusal, in its words.
func TestDoFailure(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		c := dial(t)
		addLink(t, pair("a", "b"))
		addLink(t, bridgeNamed("br"))
		err := c.Do(
			Up("a", "bring up a"),
			SetMaster("br", linkOf(t, c, "br").Index, "plug br into itself"),
			Up("nowhere", "bring up nowhere"),
			Up("b", "bring up b"),
		)
		var e *Error
		if !errors.As(err, &e) || e.Label != "plug br into itself" || !errors.Is(err, unix.ELOOP) {
			t.Fatalf("the failure is %+v", err)
		}
		if e.Detail == "" || !strings.Contains(err.Error(), e.Detail) || !strings.Contains(err.Error(), "plug br into itself: ") {
			t.Errorf("the kernel's own words are not in %q", err)
		}
		if b := linkOf(t, c, "b"); b.Flags&unix.IFF_UP == 0 {
			t.Error("what follows was not done")
		}
		// The socket is as good as new.
		if err := c.Do(Delete("nowhere", "delete nowhere")); !errors.As(err, &e) || e.Label != "delete nowhere" || !errors.Is(err, unix.ENODEV) {
			t.Errorf("the next failure is %v", err)
		}
		if err := c.Do(); err != nil {
			t.Errorf("nothing to do: %v", err)
		}
		// A failure in a later batch is named as well.
		var many []Request
		for i := range 2*batch + 10 {
			many = append(many, Up("a", fmt.Sprintf("number %d", i)))
		}
		many[batch+3] = Up("nowhere", "the wrong one")
		if err := c.Do(many...); !errors.As(err, &e) || e.Label != "the wrong one" {
			t.Errorf("in the second batch: %v", err)
		}
	})
}

// The kernel reports the failure of a dump in the message that ends it.
func TestDumpFailure(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		c := dial(t)
		req := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		req.AddData(nl.NewRtAttr(unix.IFLA_TARGET_NETNSID, nl.Uint32Attr(4711)))
		got := 0
		err := c.Dump(req, func() { got = 0 }, func([]byte) error { got++; return nil })
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("a list of a namespace that is not there has %d entries, error %v", got, err)
		}
		if _, err := c.Links(); err != nil {
			t.Errorf("after that: %v", err)
		}
	})
}

// An address carries packets at once, v6 too: no duplicate address detection.
func TestAddress(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		c := dial(t)
		addLink(t, pair("a", "b"))
		index := linkOf(t, c, "a").Index
		var reqs []Request
		prefixes := []string{"192.0.2.1/24", "198.51.100.1/31", "203.0.113.9/32", "2001:db8::1/64", "fe80::1234/64"}
		for _, p := range prefixes {
			reqs = append(reqs, Address(index, netip.MustParsePrefix(p), "add "+p))
		}
		if err := c.Do(append(reqs, Up("b", "bring up b"), Up("a", "bring up a"))...); err != nil {
			t.Fatal(err)
		}
		for _, p := range prefixes {
			addr := netip.MustParsePrefix(p).Addr()
			zone := ""
			if addr.IsLinkLocalUnicast() {
				zone = "a"
			}
			l, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr.WithZone(zone), 7)))
			if err != nil {
				t.Errorf("%s cannot be used at once: %v", p, err)
				continue
			}
			_ = l.Close()
		}
		link, err := netlink.LinkByName("a")
		if err != nil {
			t.Fatal(err)
		}
		list, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			t.Fatal(err)
		}
		broadcasts := map[string]string{}
		for _, a := range list {
			broadcasts[a.IPNet.String()] = a.Broadcast.String()
		}
		if broadcasts["192.0.2.1/24"] != "192.0.2.255" || broadcasts["198.51.100.1/31"] != "<nil>" || broadcasts["203.0.113.9/32"] != "<nil>" {
			t.Errorf("broadcast addresses: %v", broadcasts)
		}
		if err := c.Do(Address(index, netip.MustParsePrefix("192.0.2.1/24"), "again")); !errors.Is(err, unix.EEXIST) {
			t.Errorf("the same address again: %v", err)
		}
	})
}

func TestBroadcast(t *testing.T) {
	t.Parallel()
	for p, want := range map[string]string{
		"192.168.10.11/24": "192.168.10.255", "10.1.2.3/8": "10.255.255.255", "10.0.0.5/30": "10.0.0.7",
		"172.16.5.4/20": "172.16.15.255", "10.0.0.1/32": "10.0.0.1", "1.2.3.4/0": "255.255.255.255",
	} {
		if got := broadcast(netip.MustParsePrefix(p)); got.String() != want {
			t.Errorf("%s: %s, not %s", p, got, want)
		}
	}
}

func TestRoute(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		c := dial(t)
		addLink(t, pair("a", "b"))
		index := linkOf(t, c, "a").Index
		must := func(reqs ...Request) {
			t.Helper()
			if err := c.Do(reqs...); err != nil {
				t.Fatal(err)
			}
		}
		prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
		must(Address(index, prefix("192.0.2.1/24"), "v4"), Address(index, prefix("2001:db8::1/64"), "v6"), Up("b", "up"), Up("a", "up"))
		none := netip.Addr{}
		must(
			Route(prefix("0.0.0.0/0"), addr("192.0.2.2"), 0, 0, "default v4"),
			Route(prefix("::/0"), addr("2001:db8::2"), 0, 0, "default v6"),
			Route(prefix("198.51.100.0/24"), addr("192.0.2.3"), index, 50, "v4 with a metric"),
			Route(prefix("203.0.113.0/24"), addr("2001:db8::3"), index, 0, "v4 by v6"),
			Route(prefix("10.1.1.2/32"), none, index, 0, "v4 by device"),
			Route(prefix("2001:db8:9::2/128"), none, index, 0, "v6 by device"),
			Route(prefix("10.9.8.7/16"), addr("192.0.2.4"), 0, 0, "host bits are no matter"),
		)
		for to, want := range map[string]string{
			"8.8.8.8":       "via 192.0.2.2 dev a",
			"2001:db8:f::1": "via 2001:db8::2 dev a",
			"198.51.100.7":  "via 192.0.2.3 dev a",
			"203.0.113.7":   "via inet6 2001:db8::3 dev a",
			"10.1.1.2":      "10.1.1.2 dev a",
			"2001:db8:9::2": "2001:db8:9::2 from :: dev a",
			"10.9.1.1":      "via 192.0.2.4 dev a",
		} {
			testenv.Need(t, "ip")
			if got := testenv.MustCommand(t, "ip", "route", "get", to); !strings.Contains(got, want) {
				t.Errorf("the way to %s is %q, not %q", to, got, want)
			}
		}
		if got := testenv.MustCommand(t, "ip", "route", "show", "198.51.100.0/24"); !strings.Contains(got, "metric 50") || !strings.Contains(got, "proto static") {
			t.Errorf("the route is %q", got)
		}
		err := c.Do(Route(prefix("100.64.0.0/10"), addr("233.252.0.1"), 0, 0, "by an unreachable next hop"))
		var e *Error
		if !errors.As(err, &e) || e.Label != "by an unreachable next hop" {
			t.Errorf("a next hop that is none: %v", err)
		}
		if err := c.Do(Route(prefix("0.0.0.0/0"), addr("192.0.2.2"), 0, 0, "again")); !errors.Is(err, unix.EEXIST) {
			t.Errorf("the same route again: %v", err)
		}
	})
}

// Ready returns when packets pass, not before and not much later.
func TestReady(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		c, other := dial(t, unix.RTNLGRP_LINK), dial(t)
		addLink(t, bridgeNamed("br"))
		addLink(t, pair("port", "end"))
		br := linkOf(t, c, "br").Index
		want := []Want{{Name: "port", Forward: true}, {Name: "end"}}
		fails := func(what string, names string) {
			t.Helper()
			start := time.Now()
			err := c.Ready(want, 30*time.Millisecond)
			if err == nil || !strings.HasSuffix(err.Error(), ": "+names) {
				t.Fatalf("%s: %v", what, err)
			}
			if d := time.Since(start); d < 30*time.Millisecond || d > 5*time.Second {
				t.Errorf("%s: gave up after %v", what, d)
			}
		}
		fails("all down", "end, port")
		if err := other.Do(SetMaster("port", br, "plug in")); err != nil {
			t.Fatal(err)
		}
		fails("without a carrier", "end, port")
		if err := other.Do(Up("end", "bring up end")); err != nil {
			t.Fatal(err)
		}
		if err := c.Ready([]Want{{Name: "port"}, {Name: "end"}}, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		fails("a port of a bridge that is down", "port")
		// It waits for the event.
		ready := make(chan error, 1)
		go func() { ready <- c.Ready(want, 10*time.Second) }()
		select {
		case err := <-ready:
			t.Fatalf("ready while the bridge is down: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		if err := other.Do(Up("br", "bring up br")); err != nil {
			t.Fatal(err)
		}
		if err := <-ready; err != nil {
			t.Fatal(err)
		}
		if p := linkOf(t, c, "port"); p.PortState != 3 || p.OperState != 6 {
			t.Errorf("the port is %+v", p)
		}
		want = append(want, Want{Name: "nowhere"})
		fails("one that is not there", "nowhere")
		if err := c.Ready(nil, 0); err != nil {
			t.Errorf("nothing wanted: %v", err)
		}
	})
}

// The kernel's answers to a socket in another namespace are of that namespace.
func TestDialIntoNamespace(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		ns := newNetns(t)
		c, err := Dial(ns)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		addLink(t, pair("here", "here2"))
		links, err := c.Links()
		if err != nil || slices.ContainsFunc(links, func(l Link) bool { return l.Name == "here" }) || links[0].Name != "lo" {
			t.Errorf("the other namespace has %+v, error %v", links, err)
		}
	})
}

// threads are the network namespaces of this process's threads.
func threads(t *testing.T) map[string]int {
	t.Helper()
	paths, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]int{}
	for _, p := range paths {
		if ns, err := os.Readlink(p); err == nil {
			in[ns]++
		}
	}
	return in
}

func TestIn(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		ns := newNetns(t)
		var st unix.Stat_t
		if err := unix.Fstat(int(ns.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		theirs := fmt.Sprintf("net:[%d]", st.Ino)
		wrong := errors.New("the function's own")
		for i := range 100 {
			var inside string
			err := In(ns, func() (err error) {
				if inside, err = os.Readlink("/proc/thread-self/ns/net"); err == nil && i%2 == 1 {
					err = wrong
				}
				return err
			})
			if inside != theirs {
				t.Fatalf("the function ran in %s, not %s", inside, theirs)
			}
			if i%2 == 1 != errors.Is(err, wrong) {
				t.Fatalf("the error is %v", err)
			}
		}
		file, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := In(file, func() error { t.Error("ran in no namespace at all"); return nil }); err == nil {
			t.Error("a device was taken for a namespace")
		}
		testenv.Eventually(t, 5*time.Second, "no thread is in the other namespace", func() bool { return threads(t)[theirs] == 0 })
	})
}

func TestParseAck(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{nil, make([]byte, 19)} {
		if _, _, err := parseAck(&unix.NlMsghdr{}, b); err == nil {
			t.Errorf("an acknowledgement of %d bytes was taken", len(b))
		}
	}
	if errno, text, err := parseAck(&unix.NlMsghdr{}, make([]byte, 20)); errno != 0 || text != "" || err != nil {
		t.Errorf("success is %v, %q, %v", errno, text, err)
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	links := []Link{
		{Name: "up", OperState: 6}, {Name: "down", OperState: 2}, {Name: "forwards", OperState: 6, PortState: 3}, {Name: "learns", OperState: 6, PortState: 2},
		{Name: "untold", Flags: unix.IFF_UP | unix.IFF_RUNNING},
	}
	want := []Want{{Name: "up"}, {Name: "up", Forward: true}, {Name: "down"}, {Name: "forwards", Forward: true}, {Name: "learns", Forward: true},
		{Name: "learns"}, {Name: "gone"}, {Name: "untold"}, {Name: "untold", Running: true}, {Name: "down", Running: true}}
	got := missing(want, links)
	w := []Want{{Name: "up", Forward: true}, {Name: "down"}, {Name: "learns", Forward: true}, {Name: "gone"}, {Name: "untold"}, {Name: "down", Running: true}}
	if !slices.Equal(got, w) {
		t.Errorf("missing are %v, not %v", got, w)
	}
	if len(want) != 10 || want[1] != (Want{Name: "up", Forward: true}) {
		t.Errorf("the argument became %v", want)
	}
}
