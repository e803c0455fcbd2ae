package attach

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// toHost is a cable to the host with both families.
const toHost = "--ip 10.2.0.2/32 --ip fd00:2::2/128 --peer-ip 10.2.0.1/32 --peer-ip fd00:2::1/128"

// A process that unshare(1) has started is a container, too, with whatever namespaces of its own.
func TestProcess(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		for name, flags := range map[string][]string{
			"network namespace alone": nil,
			"user namespace":          {"--user", "--map-root-user"},
			"most namespaces":         {"--user", "--map-root-user", "--mount", "--uts", "--ipc", "--cgroup"},
		} {
			t.Run(name, func(t *testing.T) {
				pid := stranger(t, flags...)
				clean, host := view(t, pid), view(t, 0)
				must(t, "attach --pid %d %s", pid, toHost)
				whole(t, pid, "eth1", "10.2.0.2/32", "fd00:2::2/128")
				ping(t, pid, "10.2.0.1", "fd00:2::1")
				ping(t, 0, "10.2.0.2", "fd00:2::2")
				if got := defaults(t, pid); got != "" {
					t.Errorf("a default route that nobody asked for: %s", got)
				}
				full := view(t, pid)
				if out := must(t, "attach --pid %d %s", pid, toHost); !strings.Contains(out, "already") {
					t.Errorf("the same call again says %q", out)
				}
				same(t, "after the same call", full, view(t, pid))
				must(t, "detach --pid %d --ifname eth1", pid)
				must(t, "detach --pid %d --ifname eth1", pid)
				same(t, "target after detach", clean, view(t, pid))
				same(t, "host after detach", host, view(t, 0))
			})
		}
	})
}

// The target ends while it has interfaces: nothing of them stays, and detach has nothing to complain of.
func TestProcessKilled(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		bridge(t, "br0", "10.7.0.1/24")
		host := view(t, 0)
		pid, peer := stranger(t), stranger(t)
		clean := view(t, peer)
		must(t, "attach --pid %d %s", pid, toHost)
		must(t, "attach --pid %d --ifname eth2 --bridge br0 --ip 10.7.0.2/24", pid)
		must(t, "attach --pid %d --ifname eth3 --ip 10.1.1.1/32 --peer-pid %d --peer-ip 10.1.1.2/32 --peer-ifname p0", pid, peer)
		ping(t, peer, "10.1.1.1")
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, 5*time.Second, "what was attached goes with its target", func() bool {
			return view(t, peer) == clean && len(nics(t, 0)) == 2
		})
		becomes(t, "the host", stable(host), func() string { return stable(view(t, 0)) })
		must(t, "detach --pid %d --ifname eth1", pid)
		must(t, "detach --pid %d --all", pid)
		must(t, "ps")
		if ps := listed(t); len(ps) > 0 {
			t.Errorf("ps shows %+v", ps)
		}
	})
}

// A network namespace without a process, by its name.
func TestNetns(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.MustCommand(t, "ip", "netns", "add", "left")
		testenv.MustCommand(t, "ip", "netns", "add", "right")
		t.Cleanup(func() {
			testenv.MustCommand(t, "ip", "netns", "del", "left")
			testenv.MustCommand(t, "ip", "netns", "del", "right")
			testenv.MustCommand(t, "umount", "/run/netns")
			if err := os.Remove("/run/netns"); err != nil {
				t.Error(err)
			}
		})
		must(t, "attach --netns /run/netns/left --ip 10.1.1.1/32 --peer-netns /run/netns/right --peer-ip 10.1.1.2/32")
		if res := testenv.Command(t, "ip", "netns", "exec", "left", "ping", "-n", "-c", "1", "-W", "1", "10.1.1.2"); res.Code != 0 {
			t.Errorf("no answer: %s", res.Stdout)
		}
		entries, err := os.ReadDir("/run/netns")
		if err != nil || len(entries) != 2 {
			t.Errorf("names of network namespaces: %v, %v", entries, err)
		}
		must(t, "detach --netns /run/netns/right --ifname eth1")
		if got := testenv.MustCommand(t, "ip", "-n", "left", "-o", "link"); strings.Contains(got, "eth1") {
			t.Errorf("after detach: %s", got)
		}
	})
}

// nsnet needs none of the programs that do by hand what it does.
func TestWithoutPrograms(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		bridge(t, "br0", "10.7.0.1/24")
		pid := stranger(t)
		for _, args := range []string{
			"attach --bridge br0 --ip 10.7.0.2/24 --default-route --pid", "attach --ifname eth2 " + toHost + " --pid", "detach --all --pid",
		} {
			cmd := exec.Command(testenv.Binary(t), append(strings.Fields(args), strconv.Itoa(pid))...)
			cmd.Env = []string{"PATH=/nonexistent"}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", args, err, out)
			}
			if strings.HasPrefix(args, "attach --bridge") {
				ping(t, pid, "10.7.0.1")
			}
		}
		if len(nics(t, pid)) != 1 {
			t.Error("detach has left something")
		}
	})
}

func TestDefaultRoute(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		bridge(t, "br0", "10.7.0.1/24", "fd00:7::1/64")
		pid := stranger(t)
		// What the container's own manager has given it, with all that a route may have.
		ip(t, pid, "link add eth0 type veth peer name wire")
		ip(t, pid, "addr add 10.3.0.2/24 dev eth0")
		ip(t, pid, "addr add fd00:3::2/64 dev eth0 nodad")
		ip(t, pid, "link set eth0 up")
		ip(t, pid, "link set wire up")
		ip(t, pid, "route add default via 10.3.0.1 dev eth0 proto dhcp src 10.3.0.2 mtu 1400 advmss 1300")
		ip(t, pid, "route add default via 10.3.0.3 dev eth0 metric 700")
		ip(t, pid, "-6 route add default via fd00:3::1 dev eth0 proto ra metric 100 pref high")
		testenv.Eventually(t, 5*time.Second, "the wire has its carrier, and the address its route", func() bool {
			return strings.Contains(ip(t, pid, "link show wire"), "state UP") && strings.Contains(ip(t, pid, "-6 route show table local"), "fd00:3::2")
		})
		clean := view(t, pid)
		onBridge := "--bridge br0 --ip 10.7.0.2/24 --ip fd00:7::2/64"
		before := defaults(t, pid)
		for _, tt := range []struct {
			what, flags string
			want, not   []string
		}{
			{what: "not asked", want: strings.Split(strings.TrimSpace(before), "\n"), not: []string{"eth1"}},
			{what: "the bridge's address", flags: "--default-route", want: []string{"via 10.7.0.1 dev eth1", "via fd00:7::1 dev eth1"}, not: []string{"10.3.0.1", "fd00:3::1"}},
			{what: "a gateway", flags: "--default-route --gateway 10.7.0.5 --gateway fd00:7::5", want: []string{"via 10.7.0.5 dev eth1", "via fd00:7::5 dev eth1"}, not: []string{"10.3.0.1", "fd00:3::1"}},
			{what: "a metric", flags: "--default-route --metric 50", want: []string{"via 10.3.0.1", "via fd00:3::1", "via 10.7.0.1 dev eth1 proto static metric 50", "via fd00:7::1 dev eth1 proto static metric 50"}},
			{what: "a gateway without asking", flags: "--gateway 10.7.0.5", want: strings.Split(strings.TrimSpace(before), "\n"), not: []string{"eth1"}},
		} {
			must(t, "attach --pid %d %s %s", pid, onBridge, tt.flags)
			got := defaults(t, pid)
			for _, w := range tt.want {
				if !strings.Contains(got, w) {
					t.Errorf("%s: no %q in\n%s", tt.what, w, got)
				}
			}
			for _, n := range tt.not {
				if strings.Contains(got, n) {
					t.Errorf("%s: %q in\n%s", tt.what, n, got)
				}
			}
			must(t, "detach --pid %d --ifname eth1", pid)
			same(t, tt.what+", after detach", clean, view(t, pid))
		}
	})
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		bridge(t, "br0", "10.7.0.1/24", "fd00:7::1/64")
		pid := stranger(t)
		clean := view(t, pid)
		must(t, "attach --pid %d --bridge br0 --ip 10.7.0.2/24 --ip fd00:7::2/64 --route 10.50.0.0/16 --route 10.60.0.0/16,10.7.0.9 --route fd00:50::/32,fd00:7::9 --mtu 1400 --mac 02:aa:bb:cc:dd:ee", pid)
		routes := ip(t, pid, "-4 route") + ip(t, pid, "-6 route")
		for _, want := range []string{"10.50.0.0/16 via 10.7.0.1 dev eth1", "10.60.0.0/16 via 10.7.0.9 dev eth1", "fd00:50::/32 via fd00:7::9 dev eth1"} {
			if !strings.Contains(routes, want) {
				t.Errorf("no %q in\n%s", want, routes)
			}
		}
		if n := nics(t, pid)["eth1"]; n.MTU != 1400 || n.MAC != "02:aa:bb:cc:dd:ee" {
			t.Errorf("MTU %d, MAC %s", n.MTU, n.MAC)
		}
		must(t, "detach --pid %d --all", pid)
		same(t, "after detach", clean, view(t, pid))
	})
}

// resolvConf binds a file over the machine's, which is not this test's, and returns its path and what is in it.
func resolvConf(t *testing.T) (path, content string) {
	t.Helper()
	path, content = filepath.Join(t.TempDir(), "resolv.conf"), "nameserver 192.0.2.1\nsearch example.org\n"
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	testenv.MustCommand(t, "mount", "--bind", path, "/etc/resolv.conf")
	t.Cleanup(func() { testenv.MustCommand(t, "umount", "/etc/resolv.conf") })
	return path, content
}

// The nameservers of a container are its own file's.
func TestNameservers(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		path, machines := resolvConf(t)
		host := func(when string) {
			t.Helper()
			if got, err := os.ReadFile(path); err != nil || string(got) != machines {
				t.Errorf("the host's resolv.conf %s: %q, %v", when, got, err)
			}
		}

		own := filepath.Join(t.TempDir(), "resolv.conf")
		const before = "search lab.test\nnameserver 192.0.2.2\noptions ndots:2\n"
		if err := os.WriteFile(own, []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("unshare", "--net", "--mount", "sh", "-c", "mount --bind "+own+" /etc/resolv.conf && exec sleep 1000000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		pid := cmd.Process.Pid
		testenv.Eventually(t, 5*time.Second, "the target has its own file", func() bool {
			name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
			return err == nil && string(name) == "sleep\n"
		})
		must(t, "attach --pid %d %s --dns 192.0.2.53 --dns fd00:2::1", pid, toHost)
		got, err := os.ReadFile(own)
		if err != nil || strings.Contains(string(got), "192.0.2.2\n") || !strings.Contains(string(got), "nameserver 192.0.2.53\nnameserver fd00:2::1\n") ||
			!strings.Contains(string(got), "search lab.test\n") || !strings.Contains(string(got), "options ndots:2\n") {
			t.Errorf("the target's resolv.conf: %q, %v", got, err)
		}
		host("after attach to a process with a file of its own")
		must(t, "detach --pid %d --all", pid)
		if got, err := os.ReadFile(own); err != nil || string(got) != before {
			t.Errorf("after detach: %q, %v", got, err)
		}
		host("after detach")
	})
}
