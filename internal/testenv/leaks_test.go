package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// plant is something left behind, as the checker must report it.
type plant struct {
	name  string
	needs []string
	kind  Kind
	text  string             // a part of the report
	leave func(t *testing.T) // returns with the leak in place; t's clean-up removes it
}

func plants() []plant {
	shell := func(script, undo string) func(t *testing.T) {
		return func(t *testing.T) {
			MustCommand(t, "sh", "-e", "-c", script)
			if undo != "" {
				t.Cleanup(func() {
					if out, err := exec.Command("sh", "-e", "-c", undo).CombinedOutput(); err != nil {
						t.Errorf("%s: %v\n%s", undo, err, out)
					}
				})
			}
		}
	}
	return []plant{
		{"link", nil, KindLink, "left0 veth", shell("ip link add left0 type veth peer name left1", "ip link del left0")},
		{"altname", nil, KindLink, "altnames [also]", shell("ip link property add dev lo altname also", "ip link property del dev lo altname also")},
		{"link down", nil, KindLink, "up false", shell("ip link set lo down", "ip link set lo up")},
		{"named netns", nil, KindNetns, "at /run/netns/left", shell("ip netns add left", "ip netns del left; umount /run/netns")},
		{"netns of a process", nil, KindNetns, "net:[", leaveProcess("unshare", "--net", "sleep", "60")},
		{"mount", nil, KindMount, "/run/left tmpfs", shell("mkdir /run/left; mount -t tmpfs left /run/left", "umount /run/left")},
		{"remount", nil, KindMount, "/run tmpfs", shell("mount -o remount,bind,ro /run", "mount -o remount,bind,rw /run")},
		{"control group", nil, KindCgroup, "/nested", leaveCgroup},
		{"nft table", []string{"nft"}, KindFirewall, "table inet left", shell("nft add table inet left", "nft delete table inet left")},
		{"iptables rule", []string{"iptables"}, KindFirewall, "-A FORWARD -s 192.0.2.0/24 -j ACCEPT",
			shell("iptables -A FORWARD -s 192.0.2.0/24 -j ACCEPT", "iptables -D FORWARD -s 192.0.2.0/24 -j ACCEPT")},
		{"iptables policy", []string{"iptables"}, KindFirewall, ":FORWARD DROP", shell("iptables -P FORWARD DROP", "iptables -P FORWARD ACCEPT")},
		{"address", nil, KindRoute, "address 192.0.2.1/32", shell("ip addr add 192.0.2.1/32 dev lo", "ip addr del 192.0.2.1/32 dev lo")},
		{"route", nil, KindRoute, "192.0.2.0/24", shell("ip route add 192.0.2.0/24 dev lo table 77", "ip route del 192.0.2.0/24 dev lo table 77")},
		{"rule", nil, KindRoute, "table 78", shell("ip -6 rule add from 2001:db8::/32 table 78", "ip -6 rule del from 2001:db8::/32 table 78")},
		{"neighbour", nil, KindRoute, "neighbour 192.0.2.7", leaveNeighbour},
		{"sysctl", nil, KindSysctl, "net.ipv4.ip_forward = 1", shell("echo 1 >/proc/sys/net/ipv4/ip_forward", "echo 0 >/proc/sys/net/ipv4/ip_forward")},
		{"IPv6 sysctl", nil, KindSysctl, "net.ipv6.conf.default.forwarding = 1",
			shell("echo 1 >/proc/sys/net/ipv6/conf/default/forwarding", "echo 0 >/proc/sys/net/ipv6/conf/default/forwarding")},
		{"record", nil, KindFile, "/run/nsnet/left/state.json", shell("mkdir -p /run/nsnet/left; echo >/run/nsnet/left/state.json", "rm -r /run/nsnet")},
		{"netns file", nil, KindFile, "/etc/netns/left", shell("mkdir /etc/netns/left", "rmdir /etc/netns/left")},
		{"layer", nil, KindFile, "/var/lib/nsnet/left", shell("echo >/var/lib/nsnet/left", "rm /var/lib/nsnet/left")},
		{"process", nil, KindProcess, "sleep 61", leaveProcess("sleep", "61")},
		{"orphan", nil, KindProcess, "sleep 62", shell("setsid sleep 62 >/dev/null 2>&1 &", "kill $(pidof sleep)")},
		{"zombie", nil, KindProcess, "zombie", leaveZombie},
		{"descriptor", nil, KindDescriptor, "/dev/zero", leaveDescriptor},
		{"thread", nil, KindThread, "net:[", leaveThread},
	}
}

// Each kind of leak, planted, is reported as such, and nothing is when it has been removed.
func TestCheckLeaksFindsEachKind(t *testing.T) {
	for _, p := range plants() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			Need(t, append(p.needs, "ip", "unshare", "setsid", "pidof")...)
			Isolate(t, func(t *testing.T) {
				before, err := Take()
				if err != nil {
					t.Fatal(err)
				}
				p.leave(t)
				leaks, err := before.Wait(0)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range leaks {
					if l.Kind == p.kind && strings.Contains(l.String(), p.text) {
						return // Isolate itself asserts that nothing is left after the clean-up
					}
				}
				t.Errorf("not reported: %s %s; got %q", p.kind, p.text, leaks)
			})
		})
	}
}

// A test of a package fails for what it leaves.
func TestCheckLeaksFails(t *testing.T) {
	Isolate(t, func(t *testing.T) {
		f := &fake{TB: t}
		f.run(func() {
			CheckLeaks(f)
			f.Cleanup(func() { MustCommand(t, "ip", "link", "add", "left0", "type", "veth", "peer", "name", "left1") })
		})
		MustCommand(t, "ip", "link", "del", "left0")
		if f.verdict() != "failed" || !strings.Contains(strings.Join(f.messages, "\n"), "left behind: + link") {
			t.Errorf("%s with %q", f.verdict(), f.messages)
		}
	})
}

// What goes away by itself is waited for.
func TestWait(t *testing.T) {
	Isolate(t, func(t *testing.T) {
		before, err := Take()
		if err != nil {
			t.Fatal(err)
		}
		leaveProcess("sleep", "0.2")(t)
		leaks, err := before.Wait(time.Second, KindDescriptor)
		if err != nil || len(leaks) != 1 || !strings.Contains(leaks[0].Item, "zombie") {
			t.Errorf("got %v, error %v; want the zombie alone", leaks, err)
		}
	})
}

func leaveProcess(argv ...string) func(t *testing.T) {
	return func(t *testing.T) {
		cmd := exec.Command(argv[0], argv[1:]...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		// Until it has become the program, and is in the namespace wanted.
		Eventually(t, 5*time.Second, "program starts", func() bool {
			name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
			return err == nil && strings.TrimSpace(string(name)) == argv[len(argv)-2]
		})
	}
}

func leaveZombie(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	Eventually(t, 5*time.Second, "process ends", func() bool {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		return err == nil
	})
}

func leaveCgroup(t *testing.T) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		t.Fatal(err)
	}
	if len(mounts) == 0 {
		Miss(t, "needs a cgroup hierarchy")
	}
	dir := filepath.Join(mounts[len(mounts)-1].Mountpoint, LabName(t))
	if err := os.MkdirAll(filepath.Join(dir, "nested"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := removeCgroups([]string{labPrefix()}); err != nil {
			t.Error(err)
		}
	})
}

func leaveNeighbour(t *testing.T) {
	MustCommand(t, "ip", "link", "add", "left0", "type", "veth", "peer", "name", "left1")
	t.Cleanup(func() {
		if err := netlink.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "left0"}}); err != nil {
			t.Error(err)
		}
	})
	MustCommand(t, "ip", "link", "set", "left0", "up")
	MustCommand(t, "ip", "neigh", "add", "192.0.2.7", "lladdr", "02:00:00:00:00:07", "dev", "left0", "nud", "permanent")
}

func leaveDescriptor(t *testing.T) {
	f, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
}

func leaveThread(t *testing.T) {
	ready, end, gone := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		// Never unlocked: the thread ends with the goroutine, and the namespace with it.
		runtime.LockOSThread()
		ready <- unix.Unshare(unix.CLONE_NEWNET)
		<-end
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(end); <-gone })
}
