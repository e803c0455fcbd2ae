package veth

import (
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/internal/testenv"
)

// newNetns is a network namespace that ends with the test, and a handle in it.
func newNetns(t *testing.T) (*os.File, *netlink.Handle) {
	t.Helper()
	type made struct {
		f   *os.File
		err error
	}
	c := make(chan made)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			c <- made{nil, err}
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		c <- made{f, err}
	}()
	m := <-c
	if m.err != nil {
		t.Fatal(m.err)
	}
	t.Cleanup(func() { _ = m.f.Close() })
	h, err := netlink.NewHandleAt(netns.NsHandle(m.f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return m.f, h
}

func create(t *testing.T, a, b End) error {
	t.Helper()
	c, err := rtnl.Dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := Create(a, b, "create link a -- b")
	if err != nil {
		return err
	}
	return c.Do(r)
}

func attrs(t *testing.T, h *netlink.Handle, name string) *netlink.LinkAttrs {
	t.Helper()
	l, err := h.LinkByName(name)
	if err != nil {
		t.Fatalf("interface %s: %v", name, err)
	}
	if l.Type() != "veth" {
		t.Errorf("%s is a %s", name, l.Type())
	}
	return l.Attrs()
}

// assigned tells how an interface of this namespace got its MAC: 3 is by who made it.
func assigned(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("/sys/class/net/" + name + "/addr_assign_type")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// Everything is as asked for in the one message that makes both ends.
func TestCreate(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		f, there := newNetns(t)
		here, err := netlink.NewHandle()
		if err != nil {
			t.Fatal(err)
		}
		defer here.Close()
		la := netlink.NewLinkAttrs()
		la.Name = "br"
		br := &netlink.Bridge{LinkAttrs: la}
		if err := here.LinkAdd(br); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = here.LinkDel(br) }()
		err = create(t,
			End{Name: "port", Index: 2000, MAC: "02:00:00:00:00:0a", MTU: 1400, Master: br.Index, Up: true},
			End{Name: "eth0", Index: 20, MAC: "02:00:00:00:00:0b", MTU: 9000, Netns: f})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = here.LinkDel(&netlink.Veth{LinkAttrs: *attrs(t, here, "port")}) }()
		port, eth := attrs(t, here, "port"), attrs(t, there, "eth0")
		if port.Index != 2000 || port.HardwareAddr.String() != "02:00:00:00:00:0a" || port.MTU != 1400 || port.MasterIndex != br.Index {
			t.Errorf("the first end is %+v", port)
		}
		if port.Flags&net.FlagUp == 0 {
			t.Error("the first end is down")
		}
		if eth.Index != 20 || eth.HardwareAddr.String() != "02:00:00:00:00:0b" || eth.MTU != 9000 || eth.MasterIndex != 0 {
			t.Errorf("the other end is %+v", eth)
		}
		if eth.Flags&net.FlagUp != 0 {
			t.Error("the other end is up")
		}
		if got := assigned(t, "port"); got != "3" {
			t.Errorf("addr_assign_type is %s: udev would give it a MAC of its own", got)
		}
		if _, err := here.LinkByName("eth0"); err == nil {
			t.Error("the other end is here, too")
		}
	})
}

// What is left out is the kernel's choice.
func TestCreateDefaults(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		f, there := newNetns(t)
		g, elsewhere := newNetns(t)
		if err := create(t, End{Name: "a", Netns: f}, End{Name: "a", Netns: g}); err != nil {
			t.Fatal(err)
		}
		a, b := attrs(t, there, "a"), attrs(t, elsewhere, "a")
		for _, e := range []*netlink.LinkAttrs{a, b} {
			if e.Index <= 1 || len(e.HardwareAddr) != 6 || e.MTU != 1500 || e.Flags&net.FlagUp != 0 {
				t.Errorf("an end is %+v", e)
			}
		}
		if a.HardwareAddr.String() == b.HardwareAddr.String() {
			t.Error("both ends have one MAC")
		}
		if links, err := netlink.LinkList(); err != nil || len(links) != 1 {
			t.Errorf("the maker's namespace has %d links, error %v", len(links), err)
		}
	})
}

// A pair goes with the namespace of either end.
func TestPairEndsWithNamespace(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		f, there := newNetns(t)
		if err := create(t, End{Name: "a"}, End{Name: "b", Netns: f}); err != nil {
			t.Fatal(err)
		}
		there.Close()
		_ = f.Close()
		testenv.Eventually(t, 10*time.Second, "the end here is gone", func() bool {
			_, err := netlink.LinkByName("a")
			return err != nil
		})
	})
}

func TestCreateFailure(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		f, _ := newNetns(t)
		if err := create(t, End{Name: "taken", Index: 30}, End{Name: "taken2", Index: 31}); err != nil {
			t.Fatal(err)
		}
		defer func() {
			l, _ := netlink.LinkByName("taken")
			_ = netlink.LinkDel(l)
		}()
		for name, tc := range map[string]struct {
			a, b  End
			errno error
		}{
			"name taken":             {End{Name: "taken"}, End{Name: "x"}, unix.EEXIST},
			"peer's name taken":      {End{Name: "x"}, End{Name: "taken"}, unix.EEXIST},
			"index taken":            {End{Name: "x", Index: 30}, End{Name: "y", Netns: f}, unix.EEXIST},
			"peer's index taken":     {End{Name: "x", Index: 40, Netns: f}, End{Name: "y", Index: 30}, unix.EBUSY},
			"no such bridge":         {End{Name: "x", Master: 999}, End{Name: "y"}, unix.EINVAL},
			"MTU too small":          {End{Name: "x", MTU: 1}, End{Name: "y"}, unix.EINVAL},
			"name of 16 bytes":       {End{Name: "x234567890123456"}, End{Name: "y"}, unix.ERANGE},
			"a multicast MAC":        {End{Name: "x", MAC: "01:00:00:00:00:01"}, End{Name: "y"}, unix.EADDRNOTAVAIL},
			"a peer's multicast MAC": {End{Name: "x"}, End{Name: "y", MAC: "01:00:00:00:00:01"}, unix.EADDRNOTAVAIL},
		} {
			err := create(t, tc.a, tc.b)
			var e *rtnl.Error
			if !errors.As(err, &e) || e.Label != "create link a -- b" || !errors.Is(err, tc.errno) {
				t.Errorf("%s: %v, want %v", name, err, tc.errno)
			}
			for _, left := range []string{"x", "y"} {
				if l, err := netlink.LinkByName(left); err == nil {
					t.Errorf("%s: %s is left", name, left)
					_ = netlink.LinkDel(l)
				}
			}
		}
	})
}

func TestMalformedMAC(t *testing.T) {
	t.Parallel()
	for _, ends := range [][2]End{{{Name: "x", MAC: "nonsense"}, {Name: "y"}}, {{Name: "x"}, {Name: "y", MAC: "02:00"}}} {
		if _, err := Create(ends[0], ends[1], "create link x -- y"); err == nil || !strings.HasPrefix(err.Error(), "create link x -- y: ") {
			t.Errorf("%+v: %v", ends, err)
		}
	}
}
