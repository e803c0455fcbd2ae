package attach

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// up starts a lab, with NAME for its name, which goes with the test.
func up(t *testing.T, text string) (name, file string) {
	t.Helper()
	name, file = testenv.LabName(t), filepath.Join(t.TempDir(), "lab.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "NAME", name)), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "up %s", file)
	t.Cleanup(func() { must(t, "down %s", name) })
	return name, file
}

// node is the first process of a lab's node.
func node(t *testing.T, name, which string) lab.NodeStatus {
	t.Helper()
	var s lab.Status
	if err := json.Unmarshal([]byte(must(t, "inspect %s --json", name)), &s); err != nil {
		t.Fatal(err)
	}
	for _, n := range s.Nodes {
		if n.Name == which {
			return n
		}
	}
	t.Fatalf("lab %s has no node %s", name, which)
	return lab.NodeStatus{}
}

// An address that an attached interface has is given to no node, and not to the host.
func TestAddressOfAnAttachment(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		const begin = "name: NAME\nnodes: {web: {}, r: {}}\nbridges: {lan0: {address: 10.77.0.1/24}, br77: {external: true}}\nlinks:\n  - endpoints: [web:eth0, lan0]\n"
		ip(t, 0, "link add br77 type bridge")
		ip(t, 0, "link set br77 up")
		t.Cleanup(func() { ip(t, 0, "link del br77") })
		name, file := up(t, begin)
		pid := stranger(t)
		must(t, "attach --pid %d --bridge %s/lan0 --ip auto", pid, name)
		must(t, "attach --pid %d --ifname out --bridge br77 --ip 10.78.0.3/24", pid)
		if got := nics(t, pid)["eth1"].addresses(); !slices.Contains(got, "10.77.0.3/24") {
			t.Fatalf("it has %v", got)
		}
		for what, text := range map[string]string{
			"automatic":    begin + "  - endpoints: [r:eth0, lan0]\n",
			"fixed":        begin + "  - {endpoints: [r:eth0, lan0], address: 10.77.0.3/24}\n",
			"the bridge's": strings.Replace(begin, "10.77.0.1", "10.77.0.3", 1),
		} {
			write(t, file, strings.ReplaceAll(text, "NAME", name))
			for _, command := range []string{"plan", "up"} {
				t.Log(what, command)
				refused(t, nsnet(t, "%s %s", command, file), 5, "10.77.0.3", "in use on bridge lan0, by eth1 of pid", fmt.Sprintf("nsnet detach --pid %d --ifname eth1", pid))
			}
		}
		write(t, file, strings.ReplaceAll(begin+"  - {endpoints: [r:eth0, br77], address: 10.78.0.3/24}\n", "NAME", name))
		refused(t, nsnet(t, "up %s", file), 5, "10.78.0.3", "in use on bridge br77", "--ifname out")

		// Another address is free, and this one is when the interface has gone.
		write(t, file, strings.ReplaceAll(begin+"  - {endpoints: [r:eth0, lan0], address: 10.77.0.9/24}\n", "NAME", name))
		must(t, "up %s", file)
		must(t, "detach --pid %d --all", pid)
		write(t, file, strings.ReplaceAll(begin+"  - endpoints: [r:eth0, lan0]\n", "NAME", name))
		must(t, "up %s", file)
	})
}

// An interface whose bridge the lab's file has no more stays, and is told to be plugged into nothing.
func TestBridgeOfAnAttachmentGoes(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name, file := up(t, "name: NAME\nnodes: {web: {}}\nbridges: {sw: {subnet: 10.77.0.0/24}, lan0: {}}\nlinks:\n  - endpoints: [web:eth0, lan0]\n")
		pid := stranger(t)
		must(t, "attach --pid %d --bridge %s/sw --ip auto", pid, name)
		must(t, "attach --node %s/web --ifname on --bridge %s/sw --ip auto", name, name)
		must(t, "attach --pid %d --ifname stays --bridge %s/lan0", pid, name)
		for _, s := range listed(t) {
			if s.State != "attached" {
				t.Errorf("%+v", s)
			}
		}
		write(t, file, "name: "+name+"\nnodes: {web: {}}\nbridges: {lan0: {}}\nlinks:\n  - endpoints: [web:eth0, lan0]\n")
		want := fmt.Sprintf("it unplugs eth1 of pid %d, on of node %s/web, attached to it", pid, name)
		if res := nsnet(t, "plan %s", file); res.Code != 10 || !strings.Contains(res.Stdout, want) {
			t.Errorf("plan: %+v", res)
		}
		if out := must(t, "up %s", file); !strings.Contains(out, want) {
			t.Errorf("up: %s", out)
		}
		states := map[string]string{}
		for _, s := range listed(t) {
			states[s.Interface] = s.State
		}
		if states["eth1"] != "unplugged" || states["on"] != "unplugged" || states["stays"] != "attached" {
			t.Errorf("states: %v", states)
		}
		if out := must(t, "inspect %s/web", name); !strings.Contains(out, "attached to bridge "+name+"/sw, of which it is unplugged") {
			t.Errorf("inspect: %s", out)
		}
		must(t, "detach --pid %d --all", pid)
		must(t, "detach --node %s/web --all", name)
	})
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const twoBridges = `name: NAME
nodes: {a: {}, b: {}}
bridges:
  lan0: {address: [10.40.0.1/24, "fd00:40::1/64"]}
  lan1: {subnet: 10.41.0.0/29}
links:
  - endpoints: ["a:eth0", lan0]
  - endpoints: ["b:eth0", lan0]
  - {endpoints: ["b:eth1", lan1], address: 10.41.0.2/29}
`

// A container that somebody else has started, on a bridge of a lab.
func TestOnLabBridge(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name, file := up(t, twoBridges)
		a := node(t, name, "a")
		pid, second := stranger(t), stranger(t)
		clean := view(t, pid)
		inUse := map[string]bool{"10.40.0.1": true, "fd00:40::1": true}
		for _, n := range []lab.NodeStatus{a, node(t, name, "b")} {
			for _, p := range n.Interfaces[0].Addresses {
				inUse[netip.MustParsePrefix(p).Addr().String()] = true
			}
		}

		must(t, "attach --pid %d --bridge %s/lan0 --ip auto --default-route", pid, name)
		for _, addr := range nics(t, pid)["eth1"].addresses() {
			p := netip.MustParsePrefix(addr)
			if inUse[p.Addr().String()] || !netip.MustParsePrefix("10.40.0.0/24").Contains(p.Addr()) && !netip.MustParsePrefix("fd00:40::/64").Contains(p.Addr()) {
				t.Errorf("address %s: of no pool, or in use", addr)
			}
			testenv.Ping(t, a.PID, p.Addr(), 1)
			testenv.Ping(t, 0, p.Addr(), 1)
		}
		if n := len(nics(t, pid)["eth1"].addresses()); n != 2 {
			t.Errorf("%d addresses of two pools", n)
		}
		ping(t, pid, "10.40.0.1", "fd00:40::1")
		if got := defaults(t, pid); !strings.Contains(got, "via 10.40.0.1") || !strings.Contains(got, "via fd00:40::1") {
			t.Errorf("default routes: %s", got)
		}
		must(t, "attach --pid %d --bridge %s/lan0 --ip auto --default-route", pid, name) // again
		// The next one gets others, until there are none.
		must(t, "attach --pid %d --bridge %s/lan0 --ip auto", second, name)
		for _, addr := range nics(t, second)["eth1"].addresses() {
			testenv.Ping(t, pid, netip.MustParsePrefix(addr).Addr(), 1)
		}
		for i := range 5 {
			must(t, "attach --pid %d --ifname x%d --bridge %s/lan1 --ip auto", second, i, name)
		}
		if res := nsnet(t, "attach --pid %d --ifname x9 --bridge %s/lan1 --ip auto", second, name); res.Code == 0 {
			t.Errorf("a seventh address of a subnet of six: %s", res.Stdout)
		}
		refused(t, nsnet(t, "attach --pid %d --ifname x9 --bridge %s/lan1 --ip 10.41.0.2/29", pid, name), 5, "10.41.0.2", "b.eth1")

		// The lab's own work goes on beside that.
		if out := must(t, "up %s", file); !strings.Contains(out, "already") {
			t.Errorf("up of the unchanged file says %q", out)
		}
		ping(t, pid, "10.40.0.1")
		must(t, "detach --pid %d --all", second)
		must(t, "detach --pid %d --all", pid)
		same(t, "after detach", clean, view(t, pid))

		// With the lab its bridges go, and what was plugged into them.
		must(t, "attach --pid %d --bridge %s/lan0 --ip auto", pid, name)
		must(t, "down %s", name)
		testenv.Eventually(t, 5*time.Second, "the interface goes with the lab", func() bool { return view(t, pid) == clean })
		must(t, "detach --pid %d --ifname eth1", pid)
		if ps := listed(t); len(ps) > 0 {
			t.Errorf("ps shows %+v", ps)
		}
		must(t, "up %s", file)
		must(t, "attach --pid %d --bridge %s/lan0 --ip auto", pid, name)
	})
}

// An interface that was attached to a lab's node is the node's, and not the file's.
func TestOnNode(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name, file := up(t, twoBridges)
		a, b := node(t, name, "a"), node(t, name, "b")
		peer := stranger(t)
		clean := view(t, a.PID)
		refused(t, nsnet(t, "attach --node %s/a --ifname eth0 %s", name, toHost), 5, "the file of lab "+name+" gives the node this interface", "--ifname")
		must(t, "attach --node %s/a --ifname out %s", name, toHost)
		must(t, "attach --node %s/a --ifname p0 --ip 10.1.1.1/32 --peer-pid %d --peer-ip 10.1.1.2/32", name, peer)
		must(t, "attach --node %s/a --ifname q0 --ip 10.1.2.1/32 --peer-node %s/b --peer-ip 10.1.2.2/32 --peer-ifname q0", name, name)
		must(t, "attach --node %s/b --ifname wan --bridge %s/lan1 --ip auto", name, name)
		full := view(t, a.PID)
		for _, args := range []string{"ping -n -c 1 -W 2 10.2.0.1", "ping -n -c 1 -W 2 fd00:2::1", "ping -n -c 1 -W 2 10.1.1.2", "ping -n -c 1 -W 2 10.1.2.2"} {
			must(t, "exec %s/a -- %s", name, args)
		}
		if out := must(t, "up %s", file); !strings.Contains(out, "already") {
			t.Errorf("up of the unchanged file says %q", out)
		}
		same(t, "after up", full, view(t, a.PID))
		if out := must(t, "plan %s", file); strings.Contains(out, "out") {
			t.Errorf("plan: %s", out)
		}
		shown := map[string]bool{}
		for _, x := range listed(t) {
			shown[x.Target+" "+x.Interface] = x.State == "attached"
		}
		for _, want := range []string{"out", "p0", "q0"} {
			if !shown["node "+name+"/a "+want] {
				t.Errorf("ps does not show %s: %v", want, shown)
			}
		}
		if out := must(t, "inspect %s/a", name); !strings.Contains(out, "out") || !strings.Contains(out, "10.2.0.2/32") || !strings.Contains(out, "attached") {
			t.Errorf("inspect:\n%s", out)
		}
		// So it is at the other end of a cable.
		if out := must(t, "inspect %s/b", name); !strings.Contains(out, "attached to a cable to node "+name+"/a:q0") || !strings.Contains(out, "10.1.2.2/32") || strings.Contains(out, "made in the node") {
			t.Errorf("inspect of the peer:\n%s", out)
		}
		if out := must(t, "ps %s/b", name); !strings.Contains(out, "q0 ") || !strings.Contains(out, "10.1.2.2/32") || strings.Contains(out, "p0 ") || strings.Contains(out, "10.1.1.1/32") {
			t.Errorf("ps of one node:\n%s", out)
		}
		refused(t, nsnet(t, "ps %s/nobody", name), 4, "nsnet ps "+name+" lists")
		refused(t, nsnet(t, "ps %s/[", name), 2, "LAB/PATTERN")

		must(t, "detach --node %s/b --ifname q0", name)
		must(t, "detach --node %s/a --all", name)
		same(t, "after detach", clean, view(t, a.PID))
		must(t, "detach --node %s/b --all", name)

		must(t, "attach --node %s/a --ifname out %s", name, toHost)
		if err := syscall.Kill(b.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, 5*time.Second, "node b is dead", func() bool { return node(t, name, "b").State == lab.StateDead })
		refused(t, nsnet(t, "attach --node %s/b --ip 10.9.0.2/32 --peer-ip 10.9.0.1/32", name), 9, "node "+name+"/b")
		must(t, "detach --node %s/b --all", name)
		refused(t, nsnet(t, "attach --node %s/c --ip 10.9.0.2/32 --peer-ip 10.9.0.1/32", name), 4, "c")
	})
}

// down of a lab that a card of the host was lent to brings the card home.
func TestCardOfALab(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		lend(t)
		host := view(t, 0)
		name, file := up(t, "name: NAME\nnodes: {a: {}}\n")
		must(t, "attach --node %s/a --host-nic card0 --ifname wan --ip 10.6.0.9/24", name)
		must(t, "exec %s/a -- ping -n -c 1 -W 2 10.6.0.2", name)
		must(t, "down %s", name)
		must(t, "ps")
		becomes(t, "after down", stable(host), func() string { return stable(view(t, 0)) })
		must(t, "up %s", file)
	})
}
