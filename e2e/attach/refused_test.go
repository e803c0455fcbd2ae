package attach

import (
	"fmt"
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

// What cannot be is refused before anything is changed, with what is wrong and what to do.
func TestRefused(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		bridge(t, "br0", "10.7.0.1/24", "fd00:7::1/64")
		bridge(t, "br1")
		ip(t, 0, "link set br1 down")
		wire(t, "card0", "wire0")
		pid, peer := stranger(t), stranger(t)
		ip(t, pid, "link add taken type bridge")
		ip(t, pid, "addr add 10.7.0.50/24 dev taken")
		must(t, "attach --pid %d --bridge br0 --ip 10.7.0.9/24 --ip fd00:7::9/64", peer)
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		fifo := file + ".fifo"
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		dead := exec.Command("true")
		if err := dead.Start(); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, 5*time.Second, "true is a zombie", func() bool { return zombie(dead.Process.Pid) })
		t.Cleanup(func() { _ = dead.Wait() })

		me, host := view(t, pid), view(t, 0)
		onBridge, target := "--bridge br0 --ip 10.7.0.2/24", "--pid "+strconv.Itoa(pid)
		for _, tt := range []struct {
			args  string
			code  int
			words []string
		}{
			// The command line.
			{"", 2, []string{"target is missing", "--pid"}},
			{target + " --container web " + onBridge, 2, []string{"more than one target"}},
			{target + " --bridge br0 --macvlan card0 --ip 10.7.0.2/24", 2, []string{"--bridge", "--macvlan", "exclude"}},
			{target + " --bridge br0 --ip 10.7.0.2", 2, []string{"10.7.0.2/24"}},
			{target + " --bridge br0 --ip fd00:7::2", 2, []string{"fd00:7::2/64"}},
			{target + " --bridge br0 --ip 10.7.0.256/24", 2, []string{"10.7.0.256/24"}},
			{target + " --bridge br0 --ip 10.7.0.0/24", 2, []string{"10.7.0.0/24", "network"}},
			{target + " --bridge br0 --ip 10.7.0.255/24", 2, []string{"10.7.0.255/24", "broadcast"}},
			{target + " --bridge br0 --ip 127.0.0.1/8", 2, []string{"127.0.0.1/8"}},
			{target + " --bridge br0 --ip ::ffff:10.7.0.2/120", 2, []string{"write it as IPv4"}},
			{target + " --bridge br0 --ip 10.7.0.2/24 --ip 10.7.0.2/24", 2, []string{"twice"}},
			{target + " --bridge br0 --ip auto", 2, []string{"auto", "lab"}},
			{target + " --ip 10.2.0.2/32", 2, []string{"--peer-ip"}},
			{target + " --ip 10.2.0.2/32 --peer-ip fd00:2::1/128", 2, []string{"family"}},
			{target + " " + onBridge + " --peer-ip 10.7.0.3/24", 2, []string{"--peer-ip", "point-to-point"}},
			{target + " " + onBridge + " --peer-ifname p0", 2, []string{"--peer-ifname"}},
			{target + " " + onBridge + " --ifname " + strings.Repeat("x", 16), 2, []string{"15"}},
			{target + " " + onBridge + " --ifname eth%d", 2, []string{"eth%d"}},
			{target + " " + onBridge + " --ifname lo", 2, []string{"lo"}},
			{target + " " + onBridge + " --ifname a/b", 2, []string{"a/b"}},
			{target + " " + onBridge + " --mac 01:00:00:00:00:01", 2, []string{"multicast"}},
			{target + " " + onBridge + " --mac 02:00:00:00:00", 2, []string{"02:00:00:00:00"}},
			{target + " " + onBridge + " --mtu 67", 2, []string{"67"}},
			{target + " --bridge br0 --ip fd00:7::2/64 --mtu 1000", 2, []string{"1280"}},
			{target + " " + onBridge + " --metric 5", 2, []string{"--default-route"}},
			{target + " " + onBridge + " --gateway 10.7.0.1 --gateway 10.7.0.5", 2, []string{"--gateway"}},
			{target + " " + onBridge + " --route 10.50.0.1/16", 2, []string{"10.50.0.0/16"}},
			{target + " " + onBridge + " --route 0.0.0.0/0", 2, []string{"--default-route"}},
			{target + " " + onBridge + " --route nonsense", 2, []string{"nonsense"}},
			{target + " " + onBridge + " --vlan 4095", 2, []string{"4095"}},
			{target + " " + onBridge + " --if-absent --replace", 2, []string{"exclude"}},
			{target + " --macvlan card0 --macvlan-mode source --ip 10.8.0.2/24", 2, []string{"source", "passthru"}},
			{target + " " + onBridge + " extra", 2, []string{"extra"}},
			// The target.
			{"--pid 0 " + onBridge, 4, []string{"process"}},
			{"--pid -1 " + onBridge, 4, []string{"process"}},
			{"--pid 4194303 " + onBridge, 4, []string{"4194303"}},
			{fmt.Sprintf("--pid %d %s", dead.Process.Pid, onBridge), 9, []string{"ended"}},
			{"--netns /nonexistent " + onBridge, 4, []string{"/nonexistent"}},
			{"--netns " + file + " " + onBridge, 4, []string{file, "it is an ordinary file and no network namespace", "/proc/PID/ns/net"}},
			{"--netns /etc " + onBridge, 4, []string{"it is a directory and no network namespace"}},
			{"--netns /dev/null " + onBridge, 4, []string{"it is a device and no network namespace"}},
			{"--netns " + fifo + " " + onBridge, 4, []string{"it is a fifo and no network namespace"}},
			{"--netns /proc/self/ns/mnt " + onBridge, 4, []string{"it is a namespace of another kind"}},
			{"--node nobody/web " + onBridge, 4, []string{"nobody"}},
			{"--container web " + onBridge, 4, []string{"web", "docker.sock"}},
			{target + " --ip 10.2.0.2/32 --peer-pid 4194303 --peer-ip 10.2.0.1/32", 4, []string{"4194303"}},
			{fmt.Sprintf("%s --ip 10.2.0.2/32 --peer-pid %d --peer-ip 10.2.0.1/32", target, dead.Process.Pid), 9, []string{"ended"}},
			// The other end.
			{target + " --bridge br9 --ip 10.7.0.2/24", 4, []string{"br9"}},
			{target + " --bridge card0 --ip 10.7.0.2/24", 4, []string{"card0", "no bridge"}},
			{target + " --bridge nolab/lan0 --ip 10.7.0.2/24", 4, []string{"nolab"}},
			{target + " --bridge br1 --ip 10.7.0.2/24", 1, []string{"br1 is down", "ip link set br1 up"}},
			{target + " --macvlan card9 --ip 10.8.0.2/24", 4, []string{"card9"}},
			{target + " --host-nic card9 --ip 10.8.0.2/24", 4, []string{"card9"}},
			{target + " --host-nic lo --ip 10.8.0.2/24", 1, []string{"lo", "cannot be lent"}},
			{target + " " + onBridge + " --vlan 5", 7, []string{"br0", "vlan_filtering"}},
			// What is taken.
			{target + " " + onBridge + " --ifname taken", 5, []string{"--ifname", "did not attach"}},
			{target + " " + onBridge + " --ifname taken --replace", 5, []string{"--ifname", "did not attach"}},
			{target + " --bridge br0 --ip 10.7.0.9/24", 5, []string{"10.7.0.9", "in use"}},
			{target + " --bridge br0 --ip fd00:7::9/64", 5, []string{"fd00:7::9", "in use"}},
			{target + " --bridge br0 --ip 10.7.0.1/24", 5, []string{"10.7.0.1"}},
			{target + " --bridge br0 --ip 10.7.0.50/24", 5, []string{"10.7.0.50", "taken"}},
			{target + " --ip 10.2.0.2/32 --peer-ip 10.7.0.1/32", 5, []string{"10.7.0.1", "br0"}},
			{fmt.Sprintf("%s --ip 10.2.0.2/32 --peer-pid %d --peer-ip 10.2.0.1/32 --peer-ifname eth1", target, peer), 5, []string{"eth1", "--peer-ifname"}},
			// Routes that lead nowhere.
			{target + " " + onBridge + " --default-route --gateway 10.9.0.1", 1, []string{"10.9.0.1", "subnet"}},
			{target + " " + onBridge + " --route 10.50.0.0/16,10.9.0.1", 1, []string{"10.9.0.1", "subnet"}},
			{target + " --macvlan card0 --ip 10.8.0.2/24 --default-route", 1, []string{"--gateway"}},
		} {
			res := nsnet(t, "attach %s", tt.args)
			if t.Run(strings.ReplaceAll(tt.args, "/", "|"), func(t *testing.T) { refused(t, res, tt.code, tt.words...) }); t.Failed() && res.Code == 0 {
				must(t, "detach --pid %d --all", pid)
			}
			same(t, "target after attach "+tt.args, me, view(t, pid))
		}
		// In the network namespace of the host, as this test and PID 1 are.
		for _, hosts := range []string{"--pid 1", "--pid " + strconv.Itoa(os.Getpid()), "--netns /proc/1/ns/net"} {
			if res := nsnet(t, "attach %s %s", hosts, onBridge); res.Code == 0 || !strings.Contains(res.Stderr, "host's own network namespace") {
				t.Errorf("attach to the host by %s: exit code %d\n%s", hosts, res.Code, res.Stderr)
			}
		}
		same(t, "host", host, view(t, 0))
		refused(t, nsnet(t, "detach --pid %d --ifname taken", pid), 5, "taken", "not attached")
		refused(t, nsnet(t, "detach --pid %d", pid), 2, "--ifname", "--all")
		refused(t, nsnet(t, "detach --ifname eth1"), 2, "target")
		same(t, "target after detach", me, view(t, pid))
		must(t, "detach --pid %d --all", peer)
	})
}

// --dry-run tells and does nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		bridge(t, "br0", "10.7.0.1/24")
		pid := stranger(t)
		me, host := view(t, pid), view(t, 0)
		out := must(t, "attach --pid %d --bridge br0 --ip 10.7.0.2/24 --default-route --dry-run", pid)
		for _, want := range []string{"eth1", "br0", "10.7.0.2/24", "10.7.0.1"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		same(t, "target", me, view(t, pid))
		same(t, "host", host, view(t, 0))
		if ps := listed(t); len(ps) > 0 {
			t.Errorf("ps shows %+v", ps)
		}
	})
}

// Without root nsnet says so.
func TestWithoutRoot(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "setpriv")
		pid := stranger(t)
		for _, args := range []string{"attach --pid %d " + toHost, "detach --pid %d --all"} {
			argv := append([]string{"setpriv", "--reuid=65534", "--clear-groups", testenv.Binary(t)}, strings.Fields(fmt.Sprintf(args, pid))...)
			refused(t, testenv.Command(t, argv...), 6, "root")
		}
	})
}

// What only the kernel refuses, when half of it is done, is taken back: a broadcast address is no next hop.
func TestRefusedByTheKernel(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s, _ := build(t)
		for _, args := range []string{
			"--bridge br0 --ip 10.7.0.2/24 --ip fd00:7::2/64 --default-route --gateway 10.7.0.255",
			"--bridge br0 --ip 10.7.0.2/24 --default-route --route 10.50.0.0/16,10.7.0.255",
			"--ip 10.2.0.2/24 --peer-ip 10.2.0.1/24 --default-route --route 10.50.0.0/16,10.2.0.255",
			fmt.Sprintf("--ip 10.1.1.1/24 --peer-pid %d --peer-ip 10.1.1.2/24 --route 10.50.0.0/16,10.1.1.255", s.peer),
			"--macvlan mac0 --ip 10.8.0.2/24 --default-route --gateway 10.8.0.255",
			"--host-nic card0 --ip 10.6.0.9/24 --mtu 1300 --mac 02:00:00:00:00:09 --default-route --gateway 10.6.0.255",
		} {
			// No word of what is left to do: all of it has been taken back.
			res := nsnet(t, "attach --pid %d %s", s.pid, args)
			refused(t, res, 1, "route", "invalid argument")
			if strings.Contains(res.Stderr, "taken back") {
				t.Errorf("%s: %s", args, res.Stderr)
			}
			s.nothing(t, args)
			if ps := listed(t); len(ps) > 0 {
				t.Errorf("%s: ps shows %+v", args, ps)
			}
		}
	})
}
