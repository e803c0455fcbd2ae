package attach

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// wire makes a pair of interfaces of the host, one of which stands for a network card.
func wire(t *testing.T, card, far string) {
	t.Helper()
	ip(t, 0, "link add %s type veth peer name %s", card, far)
	t.Cleanup(func() {
		if res := testenv.Command(t, "ip", "link", "del", far); res.Code != 0 {
			t.Errorf("the wire is gone: %s", res.Stderr)
		}
	})
	for _, name := range []string{card, far} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_dad", []byte("0"), 0); err != nil {
			t.Fatal(err)
		}
		ip(t, 0, "link set %s up", name)
	}
}

func TestMACVLAN(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		wire(t, "card0", "wire0")
		ip(t, 0, "addr add 10.8.0.1/24 dev wire0")
		settled(t, 0)
		host := view(t, 0)
		a, b := stranger(t), stranger(t, "--user", "--map-root-user")
		clean := view(t, a)
		for _, tt := range []struct {
			mode  string
			reach bool // each other
		}{{"", true}, {"bridge", true}, {"private", false}, {"vepa", false}} {
			flag := ""
			if tt.mode != "" {
				flag = "--macvlan-mode " + tt.mode
			}
			for i, pid := range []int{a, b} {
				must(t, "attach --pid %d --macvlan card0 %s --ip 10.8.0.%d/24 --ip fd00:8::%d/64", pid, flag, 2+i, 2+i)
				n := whole(t, pid, "eth1", fmt.Sprintf("10.8.0.%d/24", 2+i), fmt.Sprintf("fd00:8::%d/64", 2+i))
				if want := strings.TrimPrefix(tt.mode, ""); n.Info.Kind != "macvlan" || want != "" && n.Info.Data.Mode != want {
					t.Errorf("mode %q: %s, mode %s", tt.mode, n.Info.Kind, n.Info.Data.Mode)
				}
			}
			ping(t, a, "10.8.0.1") // behind the card
			if tt.reach {
				ping(t, a, "10.8.0.3", "fd00:8::3")
				ping(t, b, "10.8.0.2", "fd00:8::2")
			} else {
				testenv.Unreachable(t, a, netip.MustParseAddr("10.8.0.3"))
			}
			must(t, "detach --pid %d --ifname eth1", a)
			must(t, "detach --pid %d --all", b)
			same(t, "after detach, mode "+tt.mode, clean, view(t, a))
		}
		must(t, "attach --pid %d --macvlan card0 --macvlan-mode passthru --ip 10.8.0.2/24", a)
		ping(t, a, "10.8.0.1")
		if res := nsnet(t, "attach --pid %d --macvlan card0 --macvlan-mode bridge --ip 10.8.0.3/24", b); res.Code == 0 || res.Code == 2 {
			t.Errorf("a second one beside passthru: exit code %d\n%s", res.Code, res.Stderr)
		}
		must(t, "detach --pid %d --all", a)
		becomes(t, "host after detach", stable(host), func() string { return stable(view(t, 0)) })

		must(t, "attach --pid %d --macvlan card0 --ip 10.8.0.2/24", a)
		if err := syscall.Kill(a, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		must(t, "detach --pid %d --all", a)
	})
}

// lend makes a card with all that it may have, wired to another machine.
func lend(t *testing.T) {
	t.Helper()
	world := stranger(t)
	ip(t, 0, "link add card0 type veth peer name wire0 netns %d", world)
	t.Cleanup(func() { ip(t, 0, "link del card0") })
	ip(t, world, "link set wire0 up")
	ip(t, world, "addr add 10.6.0.2/24 dev wire0")
	ip(t, world, "link set lo up")
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/card0/accept_dad", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	ip(t, 0, "link set card0 address 02:00:00:00:00:c0")
	ip(t, 0, "link set card0 mtu 1400")
	ip(t, 0, "link set card0 alias uplink")
	ip(t, 0, "link set card0 txqueuelen 77")
	ip(t, 0, "link property add dev card0 altname card-of-the-host")
	ip(t, 0, "link set card0 up")
	ip(t, 0, "addr add 10.6.0.1/24 brd + dev card0 label card0:1")
	ip(t, 0, "addr add 10.6.0.11/24 dev card0")
	ip(t, 0, "addr add 10.6.1.1/32 peer 10.6.1.2/32 dev card0 scope link")
	ip(t, 0, "addr add fd00:6::1/64 dev card0")
	ip(t, 0, "route add default via 10.6.0.254 dev card0 proto dhcp src 10.6.0.1 metric 100")
	ip(t, 0, "route add 10.60.0.0/16 via 10.6.0.253 dev card0")
	ip(t, 0, "route add 10.61.0.0/16 dev card0 table 100")
	ip(t, 0, "-6 route add default via fd00:6::fe dev card0 metric 50")
	settled(t, 0)
}

func TestHostNIC(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		lend(t)
		host := view(t, 0)
		mac := nics(t, 0)["card0"].MAC
		// What tells the host's own card from one that is lent: lent is not there.
		lent := func() bool { _, here := nics(t, 0)["card0"]; return !here }
		back := func(when string) {
			t.Helper()
			becomes(t, when, stable(host), func() string { return stable(view(t, 0)) })
		}

		pid := stranger(t, "--user", "--map-root-user")
		clean := view(t, pid)
		must(t, "attach --pid %d --host-nic card0 --ifname wan --ip 10.6.0.9/24 --ip fd00:6::9/64", pid)
		if n := whole(t, pid, "wan", "10.6.0.9/24", "fd00:6::9/64"); n.MAC != mac || !lent() {
			t.Errorf("MAC %s, and not %s; lent: %t", n.MAC, mac, lent())
		}
		ping(t, pid, "10.6.0.2")
		refused(t, nsnet(t, "attach --pid %d --host-nic card0 --ifname wan2 --ip 10.6.0.8/24", pid), 5, "lent")
		if out := must(t, "attach --pid %d --host-nic card0 --ifname wan --ip 10.6.0.9/24 --ip fd00:6::9/64", pid); !strings.Contains(out, "already") {
			t.Errorf("the same call again says %q", out)
		}
		must(t, "detach --pid %d --ifname wan", pid)
		back("after detach")
		same(t, "target after detach", clean, view(t, pid))
		must(t, "detach --pid %d --ifname wan", pid)

		// Other settings for the target do not stay with the card.
		must(t, "attach --pid %d --host-nic card0 --ip 10.6.0.9/24 --mtu 1300 --mac 02:00:00:00:00:09 --default-route --gateway 10.6.0.2", pid)
		if n := nics(t, pid)["eth1"]; n.MTU != 1300 || n.MAC != "02:00:00:00:00:09" {
			t.Errorf("MTU %d, MAC %s", n.MTU, n.MAC)
		}
		must(t, "detach --pid %d --all", pid)
		back("after detach with other settings")

		// The target dies: the next command brings the card home, whichever it is.
		for _, next := range []string{"ps", fmt.Sprintf("detach --pid %d --all", pid), fmt.Sprintf("detach --pid %d --ifname wan", pid)} {
			victim := stranger(t)
			must(t, "attach --pid %d --host-nic card0 --ifname wan --ip 10.6.0.9/24", victim)
			if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			testenv.Eventually(t, 5*time.Second, "the target is dead", func() bool { return syscall.Kill(victim, 0) != nil || zombie(victim) })
			must(t, "%s", strings.Replace(next, fmt.Sprint(pid), fmt.Sprint(victim), 1))
			back("target killed, then " + next)
		}

		ip(t, 0, "link add br0 type bridge")
		t.Cleanup(func() { ip(t, 0, "link del br0") })
		ip(t, 0, "link set br0 up")
		ip(t, 0, "link set card0 master br0")
		settled(t, 0)
		host = view(t, 0)
		must(t, "attach --pid %d --host-nic card0 --ip 10.6.0.9/24", pid)
		must(t, "detach --pid %d --ifname eth1", pid)
		back("a bridge's port, after detach")
		ip(t, 0, "link set card0 nomaster")
		ip(t, 0, "link set card0 down")
		host = view(t, 0)
		must(t, "attach --pid %d --host-nic card0 --ip 10.6.0.9/24", pid)
		must(t, "detach --pid %d --ifname eth1", pid)
		back("a card that was down, after detach")
	})
}

// zombie tells a process that has ended and waits to be waited for.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(b), ") Z ")
}

// A bridge has the MAC that the host's neighbours know it by. By itself it takes the lowest of its ports'.
func TestBridgeKeepsItsMAC(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		for _, port := range []string{"", "02:00:00:00:00:01", "fa:00:00:00:00:01", "fe:00:00:00:00:01"} {
			t.Run("port "+port, func(t *testing.T) { keepsMAC(t, port) })
		}
	})
}

// keepsMAC attaches to a bridge with a port of this MAC, or without one, and looks at the bridge's all the time.
func keepsMAC(t *testing.T, port string) {
	bridge(t, "br0", "10.7.0.1/24")
	if port != "" {
		wire(t, "card0", "wire0")
		ip(t, 0, "link set card0 address %s", port)
		ip(t, 0, "link set card0 master br0")
	}
	monitor := exec.Command("ip", "-oneline", "monitor", "link", "dev", "br0")
	var seen strings.Builder
	monitor.Stdout = &seen
	if err := monitor.Start(); err != nil {
		t.Fatal(err)
	}
	mac := nics(t, 0)["br0"].MAC
	a, b := stranger(t), stranger(t)
	for range 3 {
		must(t, "attach --pid %d --bridge br0 --ip 10.7.0.2/24", a)
		must(t, "attach --pid %d --bridge br0 --ip 10.7.0.3/24 --mac 02:00:00:00:00:00", b)
		ping(t, a, "10.7.0.1", "10.7.0.3")
		must(t, "detach --pid %d --all", a)
		must(t, "detach --pid %d --all", b)
	}
	_ = monitor.Process.Kill()
	_ = monitor.Wait()
	if got := nics(t, 0)["br0"].MAC; got != mac {
		t.Errorf("it was %s and is %s", mac, got)
	}
	for line := range strings.Lines(seen.String()) {
		if strings.Contains(line, "link/ether") && strings.Contains(line, ": br0: ") && !strings.Contains(line, "link/ether "+mac) {
			t.Errorf("it was %s and has been: %s", mac, line)
		}
	}
}
