package faults

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// FAULTS 11, 9: a subnet that the host has already.
func TestFault11_SubnetOfAnotherInterface(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.MustCommand(t, "ip", "link", "add", "docker9", "type", "bridge")
		atEnd(t, "ip", "link", "del", "docker9")
		testenv.MustCommand(t, "ip", "link", "set", "docker9", "addrgenmode", "none")
		testenv.MustCommand(t, "ip", "link", "set", "docker9", "up")
		testenv.MustCommand(t, "ip", "addr", "add", "10.80.0.1/16", "dev", "docker9")
		before := snapshot(t)
		r := define(t, oneBridge("10.80.5.1/24"))
		fails(t, testenv.Run(t, "up", r.file), 5, r.name, "bridge lan0", "10.80.0.0/16", "docker9", "another subnet")
		nothingLeft(t, before, "a subnet that is taken")
		first, second := start(t, oneBridge("10.81.0.1/24")), define(t, oneBridge("10.81.0.1/24"))
		fails(t, testenv.Run(t, "up", second.file), 5, second.name, "10.81.0.0/24", "another subnet")
		testenv.Must(t, "down", first.name)
		testenv.Must(t, "up", second.file)
	})
}

// oneBridge is a lab of a bridge with an address, and a node.
func oneBridge(address string) string {
	return "name: NAME\nbridges: {lan0: {address: " + address + "}}\nnodes: {a: {}}\nlinks:\n  - endpoints: [\"a:eth0\", lan0]\n"
}

// FAULTS 21: each terminal is of the node's own devpts, and gone with its command.
func TestFault21_Terminals(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		times := 60
		if full() {
			times = 500
		}
		r := start(t, "name: NAME\nnodes: {a: {}}\n")
		inNode := func() string { return r.sh("a", "ls /dev/pts | grep -v ptmx | wc -l") }
		before := inNode()
		var wg sync.WaitGroup
		bin := testenv.Binary(t)
		for range 4 {
			_, slave := terminal(t)
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range times / 4 {
					cmd := exec.Command(bin, "exec", "-t", r.name+"/a", "--", "tty")
					cmd.Stdin = slave
					if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "/dev/pts/") {
						t.Errorf("%v\n%s", err, out)
					}
				}
			}()
		}
		wg.Wait()
		if after := inNode(); after != before {
			t.Errorf("%s terminals, before %s", after, before)
		}
		if got := r.sh("a", "mount -t devpts"); !strings.Contains(got, "max=") {
			t.Errorf("no bound of terminals: %s", got)
		}
	})
}

// FAULTS 22: nothing in a lab tracks connections, so that nothing of one can be full.
func TestFault22_NoConntrack(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, mixed(4))
		r.sh("n0", "ping -n -c 1 -W 1 n1")
		for _, pid := range []int{r.status().InitPID, r.node("n0").PID, r.node("n1").PID} {
			res := testenv.InNetns(t, pid, "sh", "-c", "cat /proc/sys/net/netfilter/nf_conntrack_count 2>/dev/null || echo 0")
			if strings.TrimSpace(res.Stdout) != "0" {
				t.Errorf("namespace of process %d tracks %s connections", pid, res.Stdout)
			}
			if res = testenv.InNetns(t, pid, "nft", "list", "ruleset"); res.Stdout != "" {
				t.Errorf("namespace of process %d has rules:\n%s", pid, res.Stdout)
			}
		}
	})
}

// FAULTS 23: a new namespace copies what the host has set.
func TestFault23_InheritedSysctls(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		values := "net.ipv4.ip_forward net.ipv4.conf.all.rp_filter net.ipv4.conf.default.rp_filter net.ipv6.conf.all.forwarding net.ipv6.conf.default.accept_ra"
		read := "for k in " + values + "; do printf '%s ' $(cat /proc/sys/$(echo $k | tr . /)); done"
		host := func() string { return testenv.MustCommand(t, "sh", "-c", read) }
		r := define(t, strings.ReplaceAll(mixed(2), ", nat: true", ""))
		testenv.Must(t, "up", r.file)
		plain := r.sh("n0", read)
		testenv.Must(t, "down", r.name)

		was := strings.Fields(host())
		set := func(all []string) {
			for i, k := range strings.Fields(values) {
				if err := os.WriteFile("/proc/sys/"+strings.ReplaceAll(k, ".", "/"), []byte(all[i]), 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		defer set(was)
		set([]string{"1", "1", "1", "1", "2"})
		odd := host()
		testenv.Must(t, "up", r.file)
		if got := r.sh("n0", read); got != plain {
			t.Errorf("in a node %s; where the host has %s it is %s", plain, odd, got)
		}
		if got := host(); got != odd {
			t.Errorf("the host's were %s and are %s", odd, got)
		}
		testenv.Must(t, "down", r.name)
		if got := host(); got != odd {
			t.Errorf("after down the host's were %s and are %s", odd, got)
		}
	})
}

// FAULTS 28, 35: the host's end of a leg has an address that udev leaves alone, and is gone when down returns.
func TestFault28_35_LegOnTheHost(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := define(t, mixed(6))
		for range 5 {
			testenv.Must(t, "up", r.file)
			legs := strings.Fields(testenv.MustCommand(t, "sh", "-c", "ls -d /sys/class/net/ns*"))
			if len(legs) != 2 {
				t.Fatalf("legs: %q", legs)
			}
			for _, leg := range legs {
				const set = "3" // NET_ADDR_SET
				if b, err := os.ReadFile(leg + "/addr_assign_type"); err != nil || strings.TrimSpace(string(b)) != set {
					t.Errorf("%s: addr_assign_type %s, error %v", leg, b, err)
				}
			}
			testenv.Must(t, "down", r.name)
			if left := testenv.Command(t, "sh", "-c", "ls -d /sys/class/net/ns*"); left.Code == 0 {
				t.Fatalf("after down: %s", left.Stdout)
			}
		}
	})
}

// FAULTS 29: what a link lets pass, both ends send, and no more.
func TestFault29_MTU(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, `name: NAME
bridges: {lan0: {subnet: 10.80.0.0/24, mtu: 1400}}
nodes: {a: {}, b: {}}
links:
  - endpoints: ["a:eth0", lan0]
  - endpoints: ["b:eth0", lan0]
  - {endpoints: ["a:p0", "b:p0"], addresses: [10.83.0.1/32, 10.83.0.2/32], mtu: 9000}
`)
		for target, mtu := range map[string]int{"10.80.0.2": 1400, "10.83.0.2": 9000} {
			const headers = 28 // IPv4 and ICMP
			r.sh("a", fmt.Sprintf("ping -n -M do -c 1 -W 1 -s %d %s", mtu-headers, target))
			if res := r.exec("a", "ping", "-n", "-M", "do", "-c", "1", "-W", "1", "-s", fmt.Sprint(mtu-headers+1), target); res.Code == 0 {
				t.Errorf("%s: %d bytes pass", target, mtu+1)
			}
		}
	})
}

// FAULTS 33: nothing is run from /tmp.
func TestFault33_TmpWithoutExec(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := define(t, oneBridge("10.80.0.1/24"))
		// The program itself may be there.
		testenv.MustCommand(t, "cp", testenv.Binary(t), "/run/nsnet-here")
		t.Cleanup(func() { remove(t, "/run/nsnet-here") })
		testenv.MustCommand(t, "cp", r.file, "/run/lab.yaml")
		t.Cleanup(func() { remove(t, "/run/lab.yaml") })
		testenv.MustCommand(t, "mount", "-t", "tmpfs", "-o", "noexec,nosuid,nodev", "tmp", "/tmp")
		for _, args := range [][]string{{"up", "/run/lab.yaml"}, {"exec", r.name + "/a", "--", "true"}, {"down", r.name}} {
			if res := testenv.Command(t, append([]string{"/run/nsnet-here"}, args...)...); res.Code != 0 {
				t.Errorf("%s: exit code %d\n%s", args[0], res.Code, res.Stderr)
			}
		}
		testenv.MustCommand(t, "umount", "/tmp")
	})
}

// FAULTS 25: what a flush of the host's firewall takes, plan tells of and the next up brings back; address translation is in a table
// that nobody else can flush.
func TestFault25_FirewallFlushed(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "iptables", "nft")
		testenv.MustCommand(t, "iptables", "-P", "FORWARD", "DROP")
		atEnd(t, "iptables", "-P", "FORWARD", "ACCEPT")
		r := start(t, mixed(2))
		rules := func() string { return testenv.MustCommand(t, "iptables", "-S", "FORWARD") }
		before := rules()
		if !strings.Contains(before, "nsnet:"+r.name) {
			t.Fatalf("no rule for the lab:\n%s", before)
		}
		testenv.MustCommand(t, "iptables", "-F", "FORWARD")
		_ = testenv.Command(t, "nft", "flush", "ruleset") // which may refuse all for the one table
		if got := testenv.MustCommand(t, "nft", "list", "tables"); !strings.Contains(got, "nsnet-") {
			t.Errorf("the table of the lab is gone:\n%s", got)
		}
		testenv.MustCommand(t, "iptables", "-P", "FORWARD", "DROP")
		if res := testenv.Run(t, "plan", r.file); res.Code != 10 {
			t.Errorf("plan: exit code %d\n%s", res.Code, res.Stdout)
		}
		testenv.Must(t, "up", r.file)
		if after := rules(); after != before {
			t.Errorf("rules were\n%s\nand are\n%s", before, after)
		}
	})
}
