package main

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

// go test ./cmd/nsnet -update writes what is printed now into testdata.
var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, name, got, string(want))
}

func demoStatus() lab.Status {
	code, killed := 1, 137
	return lab.Status{
		Name: "demo", State: lab.StateRunning, File: "/home/me/demo.yaml", InitPID: 4000,
		Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Nodes: []lab.NodeStatus{
			{
				Name: "web", State: lab.StateRunning, PID: 4001, CommandPID: 2, Hostname: "web", Image: "host",
				Command: []string{"nginx", "-g", "daemon off;"}, UIDBase: 2000000, Netns: "/run/netns/demo.web",
				Limits: topology.Limits{CPU: 0.2, CPUWeight: 100, Memory: 64 << 20, Pids: 256, IO: []topology.IOLimit{
					{Device: "/dev/sda", ReadBPS: 1 << 20, WriteIOPS: 100},
				}},
				Interfaces: []lab.InterfaceStatus{
					{Name: "eth0", MAC: "02:00:00:00:00:01", MTU: 1500, Addresses: []string{"192.168.10.2/24", "fd00::2/64"}, Peer: "lan0", Port: "_port0123456789", PortAlt: "web-server-one.eth0"},
					{Name: "eth1", MAC: "02:00:00:00:00:02", MTU: 9000, Peer: "a:eth1", Learned: []string{"192.0.2.9/24"}},
					{Name: "dummy0", MTU: 1500, Learned: []string{"10.255.0.1/32"}, Own: true},
				},
				Spec: webSpec(), Published: []string{"127.0.0.1:8080/tcp"},
			},
			{Name: "a", State: lab.StateIdle, PID: 4002, Hostname: "a", Image: "host", UIDBase: 2065536},
			{
				Name: "evil", State: lab.StateExited, PID: 4003, ExitCode: &code, Image: "dir:/srv/\x1b[2J",
				Command: []string{"sh", "-c", "printf '\x1b]0;x\a'\n" + strings.Repeat("y", 80)}, Reason: "it \x1b[31mfailed",
			},
			{
				Name: "hungry", State: lab.StateExited, PID: 4004, ExitCode: &killed, Signal: "killed", OOMKilled: true, Image: "host",
				Command: []string{"stress"}, Reason: "out of memory: limit 10 MiB", Limits: topology.Limits{Memory: 10 << 20},
			},
		},
		Bridges: []lab.BridgeStatus{
			{
				Bridge: topology.Bridge{
					Name: "lan0", MTU: 1500, NAT: true, STP: true,
					Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.10.1/24"), netip.MustParsePrefix("fd00::1/64")},
					Subnets:   []netip.Prefix{netip.MustParsePrefix("192.168.10.0/24"), netip.MustParsePrefix("fd00::/64")},
				},
				Leg: "ns0123456789",
			},
			{Bridge: topology.Bridge{Name: "docker0", MTU: 1500, External: true}},
			{Bridge: topology.Bridge{Name: "lan1", MTU: 9000}},
		},
		Links: []topology.Link{
			{A: topology.Endpoint{Node: "web", Interface: "eth0"}, B: topology.Endpoint{Bridge: "lan0"}},
			{A: topology.Endpoint{Node: "web", Interface: "eth1"}, B: topology.Endpoint{Node: "a", Interface: "eth1"}},
		},
	}
}

// webSpec is a node with something of each section.
func webSpec() topology.Node {
	loopback := netip.MustParseAddr("127.0.0.1")
	return topology.Node{
		Seccomp: "default", User: "www-data", Workdir: "/srv",
		Caps:    topology.Caps{Add: []string{"SYS_ADMIN"}, Drop: []string{"NET_RAW"}},
		DNS:     &topology.DNS{Nameservers: []string{"10.0.0.53"}, Search: []string{"lab.test"}},
		Restart: topology.Restart{Mode: topology.RestartOnFailure, Max: 3}, StopSignal: "SIGQUIT",
		Ready:     &topology.Ready{HTTP: &topology.HTTPCheck{Port: 80, Path: "/"}, IntervalMS: 5000},
		DependsOn: []topology.Dependency{{Node: "a", Condition: topology.DependReady}},
		Env:       []string{"LANG=C", "OPTS=-a=\x1b[2J"},
		Sysctls:   map[string]string{"net.ipv4.ip_forward": "1"},
		Hosts:     []string{"203.0.113.9 mirror"},
		Routes: []topology.Route{
			{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.10.1")},
			{To: netip.MustParsePrefix("fd01::/64"), Dev: "eth1", Metric: 10},
		},
		Ports: []topology.Port{{HostAddr: loopback, HostPort: 8080, Port: 80, Protocol: "tcp"}},
		Binds: []topology.Bind{{Source: "/home/me/nginx.conf", Target: "/etc/nginx/nginx.conf", ReadOnly: true, IDMap: true}},
		Tmpfs: []topology.Tmpfs{{Target: "/cache", Size: 64 << 20, Mode: 0o1777}},
		Unions: []topology.Union{{Path: "/u", Layers: []topology.Layer{
			{Image: topology.Image{Kind: topology.ImageDir, Path: "/home/me/fruits"}, Writable: true},
		}}},
	}
}

func deadStatus() lab.Status {
	return lab.Status{Name: "old", State: lab.StateDead, File: "/old.yaml", Reason: "its init was killed by signal 9"}
}

func TestPS(t *testing.T) {
	labs := []lab.Status{demoStatus(), deadStatus()}
	golden(t, "ps.txt", psTable(labs, false, 0))
	golden(t, "ps-color.txt", psTable(labs, true, 0))
	golden(t, "ps-quiet.txt", psNames(labs))
	equal(t, "no labs", psTable(nil, false, 0), "LAB  NODE  STATE  PID  IMAGE  ADDRESSES  COMMAND\n")
}

func TestPSColumnsCanBeCounted(t *testing.T) {
	for line := range strings.Lines(psTable([]lab.Status{demoStatus(), deadStatus()}, false, 0)) {
		if fields := strings.Fields(line); len(fields) < 7 {
			t.Errorf("a column is empty: %q", line)
		}
	}
}

func TestInspect(t *testing.T) {
	s := demoStatus()
	golden(t, "inspect-lab.txt", inspectLab(s, false, 0))
	golden(t, "inspect-dead.txt", inspectLab(deadStatus(), false, 0))
	golden(t, "inspect-node.txt", inspectNode(s.Name, s.Nodes[0], false, 0))
	golden(t, "inspect-evil.txt", inspectNode(s.Name, s.Nodes[2], false, 0))
	golden(t, "inspect-oom.txt", inspectNode(s.Name, s.Nodes[3], true, 0))
}

func TestNothingRawIsPrinted(t *testing.T) {
	s := demoStatus()
	texts := []string{psTable([]lab.Status{s}, false, 0), inspectLab(s, false, 0)}
	for _, n := range s.Nodes {
		texts = append(texts, inspectNode(s.Name, n, false, 0))
	}
	for _, text := range texts {
		if strings.ContainsAny(text, "\x1b\a\r") {
			t.Errorf("control characters in %q", text)
		}
	}
}

func TestFindNode(t *testing.T) {
	n, err := findNode(demoStatus(), "a")
	if err != nil || n.Name != "a" {
		t.Errorf("found %v, %v", n.Name, err)
	}
	_, err = findNode(demoStatus(), "wbe")
	equal(t, "exit code", exitCode(err), exitNotFound)
	equal(t, "text", err.Error(), "lab demo: node wbe: not found; did you mean demo/web?")
}

func TestUpText(t *testing.T) {
	r := lab.UpResult{Name: "demo", Changed: true, New: true, Nodes: 3, Bridges: 1, Links: 2, Elapsed: 45 * time.Millisecond}
	equal(t, "up", upText(r), "demo is up: 3 nodes, 1 bridge, 2 links in 45 ms\n")
	r.New, r.Actions = false, []lab.Action{{Op: "~", Kind: "link", Name: "a:eth0 -- lan0", Detail: "10.0.0.1/24", Reason: "a:eth0 is missing", Cost: lab.CostLink}}
	equal(t, "up of a lab that runs", upText(r), "~ link  a:eth0 -- lan0  10.0.0.1/24 (a:eth0 is missing; link re-made)\ndemo is up to date: 1 change in 45 ms\n")
	r.Changed = false
	equal(t, "up again", upText(r), "demo is up already, nothing to do\n")
	equal(t, "down", downText(lab.DownResult{Name: "demo", Found: true, Elapsed: 12 * time.Millisecond}), "demo is down: removed in 12 ms\n")
}

func TestPlanText(t *testing.T) {
	equal(t, "nothing", planText("demo", nil), "demo is up already, nothing to do\n")
	equal(t, "plan", planText("demo", []lab.Action{
		{Op: "+", Kind: "bridge", Name: "lan0", Detail: "192.168.10.1/24, nat"},
		{Op: "~", Kind: "node", Name: "web", Detail: "memory 64 MiB \x1b[2J"},
		{Op: "-", Kind: "link", Name: "web:eth0 -- lan0"},
	}), `+ bridge  lan0              192.168.10.1/24, nat
~ node    web               memory 64 MiB \x1b[2J
- link    web:eth0 -- lan0
`)
}
