package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// hostBridge makes a bridge of the host that has a port with this MTU, and so has that one itself.
func hostBridge(t *testing.T, name, mtu string, more ...string) {
	t.Helper()
	testenv.MustCommand(t, append([]string{"ip", "link", "add", name, "type", "bridge"}, more...)...)
	atEnd(t, "ip", "link", "del", name)
	testenv.MustCommand(t, "ip", "link", "set", name, "up")
	testenv.MustCommand(t, "ip", "link", "add", name+"-p", "mtu", mtu, "type", "veth", "peer", "name", name+"-q", "mtu", mtu)
	atEnd(t, "ip", "link", "del", name+"-p")
	testenv.MustCommand(t, "ip", "link", "set", name+"-p", "master", name)
}

// mtuOf is the MTU of an interface of the host.
func mtuOf(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("/sys/class/net/" + name + "/mtu")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

const onHostBridge = `
nodes: {a: {}, b: {}}
bridges: {BRIDGE: {external: true, subnet: 172.17.200.0/24}}
links:
  - endpoints: ["a:eth0", "BRIDGE"]
  - endpoints: ["b:eth0", "BRIDGE"]
`

// A bridge of the host whose hardware address nobody has set keeps that of its own port while labs come
// and go: its neighbours would not know it otherwise.
func TestExternalBridgeKeepsItsAddress(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		hostBridge(t, "own", "1500")
		testenv.MustCommand(t, "ip", "link", "set", "own-p", "address", "be:ff:00:00:00:01")
		mac := func() string { return testenv.MustCommand(t, "cat", "/sys/class/net/own/address") }
		before := mac()
		text := strings.ReplaceAll(onHostBridge, "BRIDGE", "own")
		r := startText(t, text)
		if got := mac(); got != before {
			t.Errorf("the bridge was %s, and is %s while a lab uses it", before, got)
		}
		r.ping("a", "b")
		if got := testenv.Run(t, "plan", "--name", r.name, writeFile(t, t.TempDir(), "lab.yaml", text)); got.Code != 0 {
			t.Errorf("plan of what is up: %+v", got)
		}
		testenv.Must(t, "down", r.name)
		if got := mac(); got != before {
			t.Errorf("the bridge was %s, and is %s after down", before, got)
		}
	})
}

// So does one that has no port, and one whose MTU was set keeps that. One that has lost its address with its last port can be
// used nevertheless.
func TestExternalBridgeWithoutPorts(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		of := func(file string) string { return testenv.MustCommand(t, "cat", "/sys/class/net/bare/"+file) }
		add := func() {
			testenv.MustCommand(t, "ip", "link", "add", "bare", "type", "bridge")
			testenv.MustCommand(t, "ip", "link", "set", "bare", "mtu", "9000", "up")
		}
		file := writeFile(t, t.TempDir(), "lab.yaml", strings.ReplaceAll(onHostBridge, "BRIDGE", "bare"))
		name := testenv.LabName(t)
		kept := func(what, mac string) {
			t.Helper()
			if got := of("address"); got != mac {
				t.Errorf("%s: the bridge was %s, and is %s", what, mac, got)
			}
			if got := of("mtu"); got != "9000\n" {
				t.Errorf("%s: its MTU is %s", what, got)
			}
		}
		add()
		mac := of("address")
		r := startAs(t, name, file)
		kept("up", mac)
		if got := testenv.Run(t, "plan", "--name", name, file); got.Code != 0 {
			t.Errorf("plan of what is up: %+v", got)
		}
		r.ping("a", "b")
		testenv.Must(t, "down", name)
		kept("down", mac)
		testenv.MustCommand(t, "ip", "link", "del", "bare")

		// A lab that runs comes to it.
		testenv.Must(t, "up", "--name", name, writeFile(t, t.TempDir(), "before.yaml", "nodes: {a: {}, b: {}}\n"))
		add()
		mac = of("address")
		testenv.Must(t, "up", "--name", name, file)
		kept("an up of a lab that runs", mac)
		testenv.MustCommand(t, "ip", "link", "del", "bare")

		// The kernel leaves zeros, which are no address to give.
		add()
		testenv.MustCommand(t, "ip", "link", "add", "once", "type", "veth", "peer", "name", "once-q")
		testenv.MustCommand(t, "ip", "link", "set", "once", "master", "bare")
		testenv.MustCommand(t, "ip", "link", "del", "once")
		if got := of("address"); got != "00:00:00:00:00:00\n" {
			t.Fatalf("the bridge without ports is %s", got)
		}
		testenv.Must(t, "attach", "--node", name+"/a", "--bridge", "bare", "--ip", "172.17.201.9/24", "--ifname", "more")
		if got := of("address"); got == "00:00:00:00:00:00\n" {
			t.Error("the bridge has no address while something is attached to it")
		}
		testenv.Must(t, "detach", "--node", name+"/a", "--all")
		testenv.Must(t, "up", "--name", name, file)
		r.ping("a", "b")
		testenv.MustCommand(t, "ip", "link", "del", "bare")
	})
}

// A bridge of the host keeps its MTU, which those of nodes on it have that say nothing else.
func TestExternalBridgeMTU(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		for _, c := range []struct{ bridge, mtu string }{{"jumbo", "9000"}, {"small", "1400"}} {
			hostBridge(t, c.bridge, c.mtu)
			text := strings.ReplaceAll(onHostBridge, "BRIDGE", c.bridge)
			r := startAs(t, testenv.LabName(t)+c.bridge, writeFile(t, t.TempDir(), "lab.yaml", text))
			if got := mtuOf(t, c.bridge); got != c.mtu {
				t.Errorf("%s has the MTU %s while a lab uses it, not %s", c.bridge, got, c.mtu)
			}
			if got := r.sh("a", "cat /sys/class/net/eth0/mtu"); got != c.mtu {
				t.Errorf("a on %s has the MTU %s", c.bridge, got)
			}
			r.ping("a", "-M do -s 1372 b")
			if got := testenv.Run(t, "plan", "--name", r.name, writeFile(t, t.TempDir(), "lab.yaml", text)); got.Code != 0 {
				t.Errorf("plan of what is up: %+v", got)
			}
			// A link that says so has less, and the bridge has not.
			smaller := writeFile(t, t.TempDir(), "lab.yaml", strings.Replace(text, `["a:eth0", "`+c.bridge+`"]`, `["a:eth0", "`+c.bridge+"\"]\n    mtu: 1300", 1))
			testenv.Must(t, "up", "--name", r.name, smaller)
			if got := r.sh("a", "cat /sys/class/net/eth0/mtu"); got != "1300" {
				t.Errorf("a with an MTU of its own has %s", got)
			}
			if got := mtuOf(t, c.bridge); got != c.mtu {
				t.Errorf("%s has the MTU %s while a link of less uses it, not %s", c.bridge, got, c.mtu)
			}
			r.ping("b", "-M do -s 1272 a")
			testenv.Must(t, "attach", "--node", r.name+"/b", "--bridge", c.bridge, "--ip", "172.17.201.9/24", "--mtu", "1280", "--ifname", "more")
			if got := mtuOf(t, c.bridge); got != c.mtu {
				t.Errorf("%s has the MTU %s while an interface of less is attached, not %s", c.bridge, got, c.mtu)
			}
			testenv.Must(t, "detach", "--node", r.name+"/b", "--all")
			// One that is gone has no MTU.
			testenv.MustCommand(t, "ip", "link", "del", c.bridge)
			if got := testenv.Run(t, "plan", "--name", r.name, smaller); got.Code != 10 || strings.Contains(got.Stdout, "mtu") || !strings.Contains(got.Stdout, "the host's bridge is gone") {
				t.Errorf("plan without %s: %+v", c.bridge, got)
			}
			for _, command := range []string{"add NAME type bridge", "set NAME up", "set NAME-p master NAME"} {
				testenv.MustCommand(t, append([]string{"ip", "link"}, strings.Fields(strings.ReplaceAll(command, "NAME", c.bridge))...)...)
			}
			testenv.Must(t, "up", "--name", r.name, smaller)
			testenv.MustCommand(t, "ip", "link", "set", c.bridge, "down")
			if got := testenv.Run(t, "plan", "--name", r.name, smaller); got.Code != 0 || !strings.Contains(got.Stderr, c.bridge+": this bridge of the host is down; bring it up") {
				t.Errorf("plan while %s is down: %+v", c.bridge, got)
			}
		}
		larger := writeFile(t, t.TempDir(), "lab.yaml", strings.Replace(strings.ReplaceAll(onHostBridge, "BRIDGE", "small"), `"small"]`, "\"small\"]\n    mtu: 1500", 1))
		if got := testenv.Run(t, "up", "--name", testenv.LabName(t), larger); got.Code != 3 || !strings.Contains(got.Stderr, "mtu 1500 is larger than that of bridge small, which is 1400") {
			t.Errorf("a larger MTU: %+v", got)
		}
	})
}

// No node gets an address that the host has on its bridge, of which plan tells.
func TestExternalBridgeAddresses(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		hostBridge(t, "hostbr", "1500")
		testenv.MustCommand(t, "ip", "address", "add", "172.17.200.1/24", "dev", "hostbr")
		text := strings.ReplaceAll(onHostBridge, "BRIDGE", "hostbr")
		file := writeFile(t, t.TempDir(), "lab.yaml", text)
		name := testenv.LabName(t)
		if got := testenv.Run(t, "plan", "--name", name, file); !strings.Contains(got.Stdout, "172.17.200.2/24") || strings.Contains(got.Stdout, "172.17.200.1/24") {
			t.Errorf("plan: %+v", got)
		}
		r := startAs(t, name, file)
		r.ping("a", "172.17.200.1")
		pingFromHost(t, "172.17.200.2")
		pingFromHost(t, "172.17.200.3")
		// One that it is given later is taken away from the node that has it.
		testenv.MustCommand(t, "ip", "address", "add", "172.17.200.3/24", "dev", "hostbr")
		if got := testenv.Run(t, "plan", "--name", name, file); got.Code != 10 || !strings.Contains(got.Stdout, "b:eth0 - 172.17.200.3/24") {
			t.Errorf("plan with another address of the host: %+v", got)
		}
		testenv.Must(t, "up", "--name", name, file)
		r.ping("b", "172.17.200.3")
		fixed := writeFile(t, t.TempDir(), "lab.yaml", strings.Replace(text, `"hostbr"]`, "\"hostbr\"]\n    address: 172.17.200.1/24", 1))
		if got := testenv.Run(t, "up", "--name", name, fixed); got.Code != 3 || !strings.Contains(got.Stderr, "duplicate address 172.17.200.1: the host, on its bridge hostbr, has it already") {
			t.Errorf("a fixed address that the host has: %+v", got)
		}
	})
}

// A firewall that drops what goes from one port of a host's bridge to another is told of, with a remedy that is one.
func TestExternalBridgeFirewall(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "iptables")
	testenv.Isolate(t, func(t *testing.T) {
		const call = "/proc/sys/net/bridge/bridge-nf-call-iptables"
		before, err := os.ReadFile(call)
		if err == nil {
			err = os.WriteFile(call, []byte("1"), 0)
		}
		if err != nil {
			testenv.Miss(t, "br_netfilter: "+err.Error())
		}
		t.Cleanup(func() { _ = os.WriteFile(call, before, 0) })
		hostBridge(t, "hostbr", "1500")
		file := writeFile(t, t.TempDir(), "lab.yaml", strings.ReplaceAll(onHostBridge, "BRIDGE", "hostbr"))
		name := testenv.LabName(t)
		testenv.MustCommand(t, "iptables", "-P", "FORWARD", "DROP")
		t.Cleanup(func() { _ = exec.Command("iptables", "-P", "FORWARD", "ACCEPT").Run() })
		const remedy = "iptables -I FORWARD -i hostbr -o hostbr -j ACCEPT"
		says := func(what string, want bool, args ...string) {
			t.Helper()
			if got := testenv.Run(t, args...); strings.Contains(got.Stderr, remedy) != want {
				t.Errorf("%s: %+v", what, got)
			}
		}
		says("plan", true, "plan", "--name", name, file)
		says("up", true, "up", "--name", name, file)
		r := run{t, name}
		atEnd(t, testenv.Binary(t), "down", name)
		r.refused("a", "ping -c 1 -W 1 b")
		says("up of what is up", true, "up", "--name", name, file)
		says("attach", true, "attach", "--node", name+"/a", "--bridge", "hostbr", "--ip", "172.17.201.9/24", "--ifname", "more")
		testenv.Must(t, "detach", "--node", name+"/a", "--all")
		testenv.MustCommand(t, strings.Fields(remedy)...)
		t.Cleanup(func() { _ = exec.Command("iptables", "-F", "FORWARD").Run() })
		r.ping("a", "b")
		says("plan, where it was mended", false, "plan", "--name", name, file)
		says("attach, where it was mended", false, "attach", "--node", name+"/a", "--bridge", "hostbr", "--ip", "172.17.201.9/24", "--ifname", "more")
		testenv.Must(t, "detach", "--node", name+"/a", "--all")
	})
}

// On a bridge of the host with the spanning tree protocol, up and attach return when the port forwards, and an interrupt ends the wait.
func TestExternalBridgeSTP(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		hostBridge(t, "stp", "1500", "stp_state", "1", "forward_delay", "200") // the least
		testenv.MustCommand(t, "ip", "address", "add", "172.17.200.1/24", "dev", "stp")
		text := strings.ReplaceAll(onHostBridge, "BRIDGE", "stp")
		file := writeFile(t, t.TempDir(), "lab.yaml", text)
		r := startAs(t, testenv.LabName(t), file)
		r.ping("a", "172.17.200.1")
		r.ping("a", "b")
		testenv.Must(t, "attach", "--node", r.name+"/b", "--bridge", "stp", "--ip", "172.17.200.9/24", "--ifname", "more")
		pingFromHost(t, "172.17.200.9")
		testenv.Must(t, "detach", "--node", r.name+"/b", "--all")
		// A port more in the lab that runs.
		more := strings.Replace(text, "b: {}}", "b: {}, c: {}}", 1) + "  - endpoints: [\"c:eth0\", \"stp\"]\n"
		testenv.Must(t, "up", "--name", r.name, writeFile(t, t.TempDir(), "lab.yaml", more))
		pingFromHost(t, "172.17.200.4")

		testenv.MustCommand(t, "ip", "link", "set", "stp", "type", "bridge", "forward_delay", "3000") // the most
		waits := func(alias string, ports int) {
			t.Helper()
			testenv.Eventually(t, 60*time.Second, alias+" waits for its ports", func() bool {
				count := 0
				for line := range strings.Lines(testenv.MustCommand(t, "ip", "-d", "-o", "link", "show", "master", "stp")) {
					if strings.Contains(line, alias) && strings.Contains(line, "state listening") {
						count++
					}
				}
				return count == ports
			})
		}
		var said strings.Builder
		attach := exec.Command(testenv.Binary(t), "attach", "--node", r.name+"/b", "--bridge", "stp", "--ip", "172.17.200.9/24", "--ifname", "more")
		attach.Stderr = &said
		if err := attach.Start(); err != nil {
			t.Fatal(err)
		}
		waits("nsnet:attach:", 1)
		if err := attach.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := attach.Wait(); err != nil || !strings.Contains(said.String(), "more is attached, and its port ") {
			t.Errorf("attach that was interrupted: %v\n%s", err, said.String())
		}
		testenv.Must(t, "detach", "--node", r.name+"/b", "--all")

		other := strings.NewReplacer("172.17.200.0", "172.17.202.0").Replace(text)
		name := testenv.LabName(t) + "two"
		up := exec.Command(testenv.Binary(t), "up", "--trust", "--name", name, writeFile(t, t.TempDir(), "lab.yaml", other))
		if err := up.Start(); err != nil {
			t.Fatal(err)
		}
		waits("nsnet:"+name+":", 2)
		if err := up.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := up.Wait(); up.ProcessState.ExitCode() != 130 {
			t.Errorf("up that was interrupted: %v", err)
		}
		if out := testenv.MustCommand(t, "ip", "-o", "link", "show", "master", "stp"); strings.Contains(out, "nsnet:"+name+":") {
			t.Errorf("after the interrupt:\n%s", out)
		}
	})
}
