package attach

import (
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A process that shares its files with the host has no resolv.conf of its own: to write it would be to write the host's.
func TestNameserversOfTheHost(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		path, machines := resolvConf(t)
		alone := stranger(t)
		clean := view(t, alone)
		res := nsnet(t, "attach --pid %d %s --dns 192.0.2.53", alone, toHost)
		if got, err := os.ReadFile(path); err != nil || string(got) != machines {
			t.Errorf("the host's resolv.conf: %q, %v", got, err)
		}
		if res.Code == 0 || !strings.Contains(res.Stderr, "resolv.conf") {
			t.Errorf("exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
		}
		must(t, "detach --pid %d --all", alone)
		same(t, "target", clean, view(t, alone))
	})
}

// Two interfaces take the default route one after the other, and give it back in either order.
func TestDefaultRouteTakenTwice(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		bridge(t, "br0", "10.7.0.1/24")
		pid := stranger(t)
		ip(t, pid, "link add eth0 type veth peer name wire")
		ip(t, pid, "addr add 10.3.0.2/24 dev eth0")
		ip(t, pid, "link set eth0 up")
		ip(t, pid, "link set wire up")
		ip(t, pid, "route add default via 10.3.0.1 dev eth0 proto dhcp")
		testenv.Eventually(t, 5*time.Second, "the wire has its carrier", func() bool { return strings.Contains(ip(t, pid, "link show wire"), "state UP") })
		clean := view(t, pid)
		// Two that take it one after the other, and give it back in either order.
		for _, order := range [][]string{{"eth2", "eth1"}, {"eth1", "eth2"}} {
			must(t, "attach --pid %d --bridge br0 --ip 10.7.0.2/24 --default-route", pid)
			must(t, "attach --pid %d --ifname eth2 --ip 10.2.0.2/32 --peer-ip 10.2.0.1/32 --default-route", pid)
			if got := defaults(t, pid); !strings.Contains(got, "default via 10.2.0.1 dev eth2") {
				t.Errorf("the second has not taken it:\n%s", got)
			}
			for _, name := range order {
				must(t, "detach --pid %d --ifname %s", pid, name)
			}
			same(t, "two, detached as "+strings.Join(order, ", "), clean, view(t, pid))
		}
	})
}

// The MAC of a bridge whose ports' MACs are above those that nsnet gives: the tap devices of virtual machines are such.
func TestBridgeKeepsItsMACAboveOurs(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) { keepsMAC(t, "fe:ff:ff:ff:ff:fe") })
}

// To set a bridge's MAC, even to what it is, makes the kernel forget all neighbours on it, those that somebody set, too.
func TestBridgeKeepsItsNeighbours(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		bridge(t, "br0", "10.7.0.1/24")
		ip(t, 0, "link set br0 address 02:00:00:00:00:b0") // as Docker does with its bridges
		ip(t, 0, "neigh add 10.7.0.77 lladdr 02:00:00:00:00:77 dev br0 nud permanent")
		host := view(t, 0)
		pid := stranger(t)
		must(t, "attach --pid %d --bridge br0 --ip 10.7.0.2/24", pid)
		must(t, "detach --pid %d --all", pid)
		same(t, "host", stable(host), stable(view(t, 0)))
	})
}

// What has been attached last hears nothing old: neighbours that knew somebody else by its address learn of it.
func TestNeighboursAreTold(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		bridge(t, "br0", "10.7.0.1/24", "fd00:7::1/64")
		old, young, other := stranger(t), stranger(t), stranger(t)
		// Without a port the bridge would have no carrier, and forget everybody.
		must(t, "attach --pid %d --bridge br0 --ip 10.7.0.3/24", other)
		args := "--bridge br0 --ip 10.7.0.2/24 --ip fd00:7::2/64"
		must(t, "attach --pid %d %s", old, args)
		ping(t, 0, "10.7.0.2", "fd00:7::2")
		must(t, "detach --pid %d --all", old)
		must(t, "attach --pid %d %s", young, args)
		mac := nics(t, young)["eth1"].MAC
		for _, a := range []string{"10.7.0.2", "fd00:7::2"} {
			if got := ip(t, 0, "neigh show %s dev br0", netip.MustParseAddr(a)); !strings.Contains(got, mac) {
				t.Errorf("the host knows %s as %q, and not as %s", a, got, mac)
			}
			ping(t, 0, a)
		}
		must(t, "detach --pid %d --all", young)
		must(t, "detach --pid %d --all", other)
	})
}

// The next command after the death of a target that had a card of the host is the one that lends it again.
func TestFault16_CardOfTheDead(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		lend(t)
		victim, next := stranger(t), stranger(t)
		must(t, "attach --pid %d --host-nic card0 --ifname wan --ip 10.6.0.9/24", victim)
		if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, 5*time.Second, "the target is dead", func() bool { return zombie(victim) })
		res := nsnet(t, "attach --pid %d --host-nic card0 --ifname wan --ip 10.6.0.9/24", next)
		if res.Code != 0 {
			t.Errorf("exit code %d\n%s", res.Code, res.Stderr)
		}
		must(t, "ps")
		must(t, "detach --pid %d --all", next)
	})
}

// A name that no engine gives is a wrong argument.
func TestContainerNameIsChecked(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		refused(t, nsnet(t, "attach --container containerd:web %s", toHost), 2, "containerd")
		refused(t, nsnet(t, "attach --container ../web %s", toHost), 2, "../web")
	})
}
