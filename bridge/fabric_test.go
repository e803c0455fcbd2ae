package bridge

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/topology"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// makeBridge makes a bridge until the test ends.
func makeBridge(t *testing.T, b *topology.Bridge, index int) error {
	t.Helper()
	c, err := rtnl.Dial(nil)
	must(t, err)
	defer c.Close()
	r, err := Create(b, index)
	if err != nil {
		return err
	}
	if err := c.Do(r); err != nil {
		return err
	}
	t.Cleanup(func() {
		if l, err := netlink.LinkByName(b.Name); err == nil {
			_ = netlink.LinkDel(l)
		}
	})
	return nil
}

func bridgeFile(t *testing.T, name, file string) string {
	t.Helper()
	b, err := os.ReadFile("/sys/class/net/" + name + "/" + file)
	must(t, err)
	return strings.TrimSpace(string(b))
}

func TestCreate(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		for i, b := range []topology.Bridge{
			{Name: "lan0", MAC: "02:00:00:00:00:01", MTU: 1500},
			{Name: "lan1", MAC: "02:00:00:00:00:02", MTU: 9000, STP: true},
			{Name: "a.b-c_d", MAC: "02:00:00:00:00:03", MTU: 1280},
		} {
			must(t, makeBridge(t, &b, 100+i))
			l, err := netlink.LinkByName(b.Name)
			must(t, err)
			a := l.Attrs()
			if l.Type() != "bridge" || a.Index != 100+i || a.HardwareAddr.String() != b.MAC || a.MTU != b.MTU {
				t.Errorf("%s is %+v", b.Name, a)
			}
			if a.Flags&net.FlagUp != 0 {
				t.Errorf("%s is up before its ports are", b.Name)
			}
			stp := "0"
			if b.STP {
				stp = "1"
			}
			if got := bridgeFile(t, b.Name, "bridge/stp_state"); got != stp {
				t.Errorf("%s: stp_state is %s, not %s", b.Name, got, stp)
			}
		}
	})
}

// A bridge without a MAC of its own takes the lowest of its ports', and a node's neighbour
// entries for it would go stale with every port.
func TestBridgeKeepsItsMAC(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		const mac = "0e:00:00:00:00:01"
		must(t, makeBridge(t, &topology.Bridge{Name: "lan0", MAC: mac, MTU: 1500}, 100))
		br, err := netlink.LinkByName("lan0")
		must(t, err)
		check := func(when string) {
			t.Helper()
			if got := bridgeFile(t, "lan0", "address"); got != mac {
				t.Errorf("%s the MAC is %s", when, got)
			}
			if got := bridgeFile(t, "lan0", "bridge/bridge_id"); got != "8000."+strings.ReplaceAll(mac, ":", "") {
				t.Errorf("%s the bridge's id is %s", when, got)
			}
		}
		check("alone")
		a := netlink.NewLinkAttrs()
		a.Name, a.HardwareAddr = "port", net.HardwareAddr{2, 0, 0, 0, 0, 1}
		port := &netlink.Veth{LinkAttrs: a, PeerName: "end", PeerHardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 2}}
		must(t, netlink.LinkAdd(port))
		must(t, netlink.LinkSetMaster(port, br))
		check("with a port of a lower one")
		must(t, netlink.LinkSetUp(br))
		must(t, netlink.LinkSetUp(port))
		check("up")
		must(t, netlink.LinkDel(port))
		check("when the port is gone")
	})
}

func TestCreateFailure(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		must(t, makeBridge(t, &topology.Bridge{Name: "lan0", MAC: "02:00:00:00:00:01", MTU: 1500}, 100))
		for name, tc := range map[string]struct {
			b     topology.Bridge
			index int
			errno error
		}{
			"name taken":  {topology.Bridge{Name: "lan0", MAC: "02:00:00:00:00:02", MTU: 1500}, 101, unix.EEXIST},
			"index taken": {topology.Bridge{Name: "lan1", MAC: "02:00:00:00:00:02", MTU: 1500}, 100, unix.EEXIST},
			"long name":   {topology.Bridge{Name: "x234567890123456", MAC: "02:00:00:00:00:02", MTU: 1500}, 101, unix.ERANGE},
		} {
			if err := makeBridge(t, &tc.b, tc.index); !errors.Is(err, tc.errno) || !strings.HasPrefix(err.Error(), "create bridge "+tc.b.Name+": ") {
				t.Errorf("%s: %v, want %v", name, err, tc.errno)
			}
		}
	})
}

func TestCreateMalformedMAC(t *testing.T) {
	t.Parallel()
	if _, err := Create(&topology.Bridge{Name: "lan0", MAC: "x", MTU: 1500}, 100); err == nil || !strings.HasPrefix(err.Error(), "create bridge lan0: ") {
		t.Errorf("got %v", err)
	}
}
