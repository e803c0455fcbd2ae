package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// base is a lab with something of every kind that can be changed while it runs.
const base = `name: NAME
defaults: {image: host}
bridges:
  lan0: {address: [10.90.0.1/24, "fd00:90::1/64"], nat: true}
  lan1: {subnet: 10.91.0.0/24}
nodes:
  a:
    routes: [{to: default, via: 10.90.0.1}, {to: 198.51.100.0/24, via: 10.9.0.2}]
    sysctls: {net.ipv4.ip_forward: 1, net.ipv4.conf.eth0.rp_filter: 2}
    limits: {memory: 64MiB}
    dns: {nameservers: [192.0.2.53]}
  b:
    command: [sleep, infinity]
    ports: ["28080:80"]
  c: {hosts: ["192.0.2.1 outside"]}
links:
  - {endpoints: ["a:eth0", lan0]}
  - {endpoints: ["b:eth0", lan0], address: 10.90.0.9/24}
  - {endpoints: ["a:p0", "b:p0"], addresses: [10.9.0.1/32, 10.9.0.2/32]}
  - {endpoints: ["c:eth0", lan1]}
  - {endpoints: ["a:eth1", lan1]}
`

// change is a change of the file base.
type change struct {
	name      string
	old, new  string   // what is replaced in the file
	also      string   // what is left out of it besides
	plan      []string // what plan says, as regular expressions
	restarted string   // the nodes that do not keep their processes
	hidden    bool     // what is changed cannot be seen
	check     func(*testing.T, run)
}

func changes() []change {
	return []change{
		{name: "add a node", old: "links:\n", new: "  d: {command: [sleep, infinity]}\nlinks:\n  - {endpoints: [\"d:eth0\", lan1], address: 10.91.0.77/24}\n",
			plan:  []string{`\+ node +d +image host, runs sleep infinity`, `\+ link +d:eth0 -- lan1 +10.91.0.77/24`, `~ hosts`},
			check: func(_ *testing.T, r run) { r.sh("c", "ping -n -c 1 -W 1 d"); r.sh("d", "ping -n -c 1 -W 1 c") }},
		{name: "remove a node", old: "  c: {hosts: [\"192.0.2.1 outside\"]}\n", new: "", also: "  - {endpoints: [\"c:eth0\", lan1]}\n",
			plan: []string{`- node +c`, `- link +c:eth0 -- lan1`},
			check: func(t *testing.T, r run) {
				if out := r.sh("a", "cat /etc/hosts"); strings.Contains(out, " c\n") {
					t.Errorf("the node that is gone has a name still:\n%s", out)
				}
			}},
		{name: "remove all nodes", old: base[strings.Index(base, "nodes:\n"):], new: "nodes: {}\n", restarted: "a b c", plan: []string{`- node +a`, `~ hosts`, `- port`}},
		{name: "add a link", old: "links:\n", new: "links:\n  - {endpoints: [\"c:q0\", \"b:q0\"], addresses: [10.9.1.1/32, 10.9.1.2/32]}\n",
			plan:  []string{`\+ link +c:q0 -- b:q0 +10.9.1.1/32 -- 10.9.1.2/32`, `\+ route +c: 10.9.1.2/32`},
			check: func(_ *testing.T, r run) { r.sh("c", "ping -n -c 1 -W 1 10.9.1.2") }},
		{name: "remove a link", old: "  - {endpoints: [\"a:eth1\", lan1]}\n", new: "",
			plan: []string{`- link +a:eth1 -- lan1`}},
		{name: "change an address", old: "address: 10.90.0.9/24", new: "addresses: [10.90.0.10/24, \"fd00:90::10/64\"]",
			plan:  []string{`~ link +b:eth0 -- lan0 .*b:eth0 \+ 10.90.0.10/24.*b:eth0 - 10.90.0.9/24.*\(in place\)`},
			check: func(_ *testing.T, r run) { r.sh("a", "ping -n -c 1 -W 1 b && ping -n -c 1 -W 1 fd00:90::10") }},
		{name: "change an MTU", old: "{endpoints: [\"b:eth0\", lan0], ", new: "{endpoints: [\"b:eth0\", lan0], mtu: 1400, ",
			plan:  []string{`~ link +b:eth0 -- lan0 +b:eth0 mtu 1500 -> 1400, b.eth0 mtu 1500 -> 1400 \(in place\)`},
			check: func(_ *testing.T, r run) { r.sh("b", "ip link show eth0 | grep 'mtu 1400'") }},
		{name: "an MTU too small for IPv6", old: "{endpoints: [\"c:eth0\", lan1]}", new: "{endpoints: [\"c:eth0\", lan1], mtu: 1200}",
			plan: []string{`~ link +c:eth0 -- lan1 +c:eth0 mtu 1500 -> 1200, c:eth0 - fe80::`}},
		{name: "change a MAC", old: "{endpoints: [\"c:eth0\", lan1]}", new: "{endpoints: [{node: c, interface: eth0, mac: \"02:00:00:00:00:99\"}, lan1]}",
			plan:  []string{`~ link +c:eth0 -- lan1 +c:eth0 mac .* -> 02:00:00:00:00:99`},
			check: func(_ *testing.T, r run) { r.sh("c", "ping -n -c 1 -W 1 10.91.0.2") }},
		{name: "move a link to another bridge", old: "{endpoints: [\"c:eth0\", lan1]}", new: "{endpoints: [\"c:eth0\", lan0]}",
			plan: []string{`link +c:eth0 -- lan0`}, check: func(_ *testing.T, r run) { r.sh("c", "ping -n -c 1 -W 1 10.90.0.1") }},
		{name: "change a route", old: "198.51.100.0/24, via: 10.9.0.2", new: "198.51.100.0/24, via: 10.90.0.9",
			plan:  []string{`\+ route +a: 198.51.100.0/24 via 10.90.0.9`, `- route +a: 198.51.100.0/24 via 10.9.0.2`},
			check: func(_ *testing.T, r run) { r.sh("a", "ip route get 198.51.100.7 | grep 'via 10.90.0.9'") }},
		{name: "remove a route", old: ", {to: 198.51.100.0/24, via: 10.9.0.2}", new: "", plan: []string{`- route +a: 198.51.100.0/24`}},
		{name: "change sysctls", old: "net.ipv4.ip_forward: 1, net.ipv4.conf.eth0.rp_filter: 2", new: "net.ipv4.conf.eth0.rp_filter: 1",
			plan: []string{`~ sysctls +a +net.ipv4.conf.eth0.rp_filter 2 -> 1, net.ipv4.ip_forward to its default`},
			check: func(t *testing.T, r run) {
				if got := r.sh("a", "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/eth0/rp_filter"); got != "0\n1" {
					t.Errorf("ip_forward and rp_filter are %q", got)
				}
			}},
		{name: "set sysctls that change others", old: "  c: {", new: "  c: {sysctls: {net.ipv4.ip_forward: 1, net.ipv4.conf.default.forwarding: 0, net.ipv4.conf.eth0.forwarding: 0}, ",
			plan: []string{`~ sysctls +c +net.ipv4.ip_forward 0 -> 1`}},
		{name: "turn IPv6 off", old: "sysctls: {", new: "sysctls: {net.ipv6.conf.all.disable_ipv6: 1, ",
			plan: []string{`~ link +a:eth0 -- lan0 +a:eth0 - .*fd00:90::2/64`, `- route +a: ::/0`, `~ sysctls +a +net.ipv6.conf.all.disable_ipv6 0 -> 1`}},
		{name: "turn IPv6 off of an interface", old: "  c: {", new: "  c: {sysctls: {net.ipv6.conf.eth0.disable_ipv6: 1}, ",
			plan: []string{`~ link +c:eth0 -- lan1 +c:eth0 - fe80::`, `~ sysctls +c +net.ipv6.conf.eth0.disable_ipv6 0 -> 1`}},
		{name: "set a sysctl of shared memory", old: "  c: {", new: "  c: {sysctls: {kernel.shmmax: 65536}, ", hidden: true, restarted: "c",
			plan:  []string{`~ node +c .*\(sysctls changed; node restarted\)`},
			check: func(_ *testing.T, r run) { r.sh("c", "grep -qx 65536 /proc/sys/kernel/shmmax") }},
		{name: "change a limit", old: "memory: 64MiB", new: "memory: 32MiB, pids: 50",
			plan: []string{`~ limits +a +memory 64 MiB -> 32 MiB, pids none -> 50 \(in place\)`}},
		{name: "change nameservers", old: "192.0.2.53", new: "192.0.2.54",
			plan: []string{`~ dns +a`},
			check: func(t *testing.T, r run) {
				host, err := os.ReadFile("/etc/netns/" + r.name + ".a/resolv.conf")
				if got := r.sh("a", "cat /etc/resolv.conf"); !strings.Contains(got, "192.0.2.54") || err != nil || !strings.Contains(string(host), "192.0.2.54") {
					t.Errorf("resolv.conf is\n%s\nand for ip netns exec\n%s", got, host)
				}
			}},
		{name: "change lines of hosts", old: "192.0.2.1 outside", new: "192.0.2.2 elsewhere", plan: []string{`~ hosts +c`},
			check: func(_ *testing.T, r run) {
				r.sh("c", "grep -q elsewhere /etc/hosts && ! grep -q outside /etc/hosts && grep -q 10.90.0.9 /etc/hosts")
			}},
		{name: "no translation", old: ", nat: true", new: "", plan: []string{`- nat`}},
		{name: "another translation", old: "10.90.0.1/24, \"fd00:90::1/64\"", new: "10.90.0.1/24", plan: []string{`~ nat`, `leg`}},
		{name: "change a bridge", old: "lan1: {subnet: 10.91.0.0/24}", new: "lan1: {subnet: 10.91.0.0/24, stp: true}", plan: []string{`~ bridge +lan1 +stp off -> on \(in place\)`}},
		{name: "add a bridge", old: "nodes:\n", new: "  lan2: {address: 10.92.0.1/24}\nnodes:\n", plan: []string{`\+ bridge +lan2`, `\+ leg +the host -- lan2`}},
		{name: "another port", old: "28080:80", new: "28081:80", plan: []string{`\+ port +127.0.0.1:28081/tcp`, `- port +127.0.0.1:28080/tcp`}},
		{name: "a port on another address", old: "28080:80", new: "0.0.0.0:28080:80", plan: []string{`\+ port +0.0.0.0:28080/tcp`, `- port +127.0.0.1:28080/tcp`}},
		{name: "a port to another node", old: "    ports: [\"28080:80\"]\n  c: {", new: "  c: {ports: [\"28080:80\"], ", hidden: true, plan: []string{`~ port +127.0.0.1:28080/tcp +to c:80`},
			check: func(t *testing.T, r run) {
				server := exec.Command(testenv.Binary(t), "exec", r.name+"/c", "--", "python3", "-c",
					"import socket; s = socket.create_server((str(), 80)); c, a = s.accept(); c.sendall(b'from c'); c.close()")
				if err := server.Start(); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = server.Wait() }()
				testenv.Eventually(t, 20*time.Second, "the port leads to c", func() bool {
					c, err := net.Dial("tcp", "127.0.0.1:28080")
					if err != nil {
						return false
					}
					defer c.Close()
					b, _ := io.ReadAll(c)
					return string(b) == "from c"
				})
			}},
		{name: "change a command", old: "[sleep, infinity]", new: "[sleep, \"100000\"]",
			plan: []string{`~ command +b +sleep 100000 \(command changed; command restarted\)`},
			check: func(_ *testing.T, r run) {
				r.sh("b", "tr '\\0' ' ' </proc/2/cmdline | grep 100000 || ps ax | grep 100000")
			}},
		{name: "change a policy", old: "  b:\n", new: "  b:\n    restart: always\n", hidden: true, plan: []string{`~ policy +b`}},
		{name: "give a node a command", old: "  c: {", new: "  c: {command: [sleep, infinity], ", restarted: "c", plan: []string{`~ node +c .*command changed`}},
		{name: "give a capability", hidden: true, old: "  c: {", new: "  c: {caps: [SYS_TIME], ", restarted: "c", plan: []string{`~ node +c .*\(caps changed; node restarted\)`, `link +c:eth0`}},
	}
}

// in makes the change in a file.
func (c *change) in(t *testing.T, text string) string {
	t.Helper()
	if !strings.Contains(text, c.old) || !strings.Contains(text, c.also) {
		t.Fatalf("the file has no %q", c.old+c.also)
	}
	text = strings.Replace(text, c.old, c.new, 1)
	if c.also != "" {
		text = strings.Replace(text, c.also, "", 1)
	}
	return text
}

// pids are those of the nodes' inits.
func (r run) pids() map[string]int {
	r.t.Helper()
	pids := map[string]int{}
	for _, n := range r.status().Nodes {
		pids[n.Name] = n.PID
	}
	return pids
}

// anew is what the kernel decides on each time: an interface's index, where its other end is, the address of a
// bridge's port; and what it has come to know by itself.
var anew = regexp.MustCompile(`@if\d+|(?m)^\d+: | link-netns(id)? \S+| state \S+|NO-CARRIER,|,LOWER_UP| tentative| noprefixroute| proto kernel_lo| master .*link/ether \S+`)

// started are the nodes once none is about to run its command any more: the lab's init is still at it when an up before was killed.
func (r run) started() (nodes []lab.NodeStatus) {
	r.t.Helper()
	testenv.Eventually(r.t, 5*time.Second, "all commands are started", func() bool {
		nodes = r.status().Nodes
		return !slices.ContainsFunc(nodes, func(n lab.NodeStatus) bool { return n.State == lab.StateStarting })
	})
	return nodes
}

// picture is all that the file decides about a lab, as its nodes, or some of them, the fabric and the host show it.
func (r run) picture(some ...string) string {
	r.t.Helper()
	var b strings.Builder
	look := func(argv ...string) {
		out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
		if err != nil {
			r.t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
		}
		lines := strings.Split(anew.ReplaceAllString(string(out), ""), "\n")
		slices.Sort(lines)
		fmt.Fprintf(&b, "== %s\n%s\n", strings.Join(argv, " "), strings.Join(lines, "\n"))
	}
	names := []string{r.name}
	for _, n := range r.started() {
		if len(some) > 0 && !slices.Contains(some, n.Name) {
			continue
		}
		names = append(names, r.name+"."+n.Name)
		fmt.Fprintln(&b, r.sh(n.Name, "cat /etc/hosts; sort /etc/resolv.conf; cat /proc/sys/net/ipv4/ip_forward; hostname"))
		fmt.Fprintln(&b, n.State, n.Limits, n.Command)
	}
	slices.Sort(names)
	for _, n := range names {
		look("ip", "-n", n, "-o", "link")
		look("ip", "-n", n, "-o", "address")
		look("ip", "-n", n, "route")
		look("ip", "-n", n, "-6", "route")
	}
	look("ip", "-o", "address")
	look("sh", "-c", "ls /run/netns /etc/netns 2>&1; cat /proc/sys/net/ipv4/ip_forward; nft list tables | grep -c nsnet- || true; ss -Hltnu; ip -n "+r.name+" -d link show type bridge | grep -o 'stp_state [0-9]' || true")
	look("ls", "/run/nsnet/"+r.name)
	return b.String()
}

func plans(t *testing.T, file string, code int) string {
	t.Helper()
	res := testenv.Run(t, "plan", file)
	if res.Code != code {
		t.Fatalf("plan: exit code %d, not %d\n%s%s", res.Code, code, res.Stdout, res.Stderr)
	}
	return res.Stdout
}

// What is edited in the file is changed in the running lab, that alone, and back: FAULTS goal 14, properties P2 and P3.
func TestEdits(t *testing.T) {
	t.Parallel()
	for _, e := range changes() {
		t.Run(strings.ReplaceAll(e.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			testenv.Isolate(t, func(t *testing.T) {
				r := start(t, base)
				plans(t, r.file, 0)
				before, pids := r.picture(), r.pids()
				text := strings.ReplaceAll(base, "NAME", r.name)
				writeFile(t, r.file, e.in(t, text))
				plan := plans(t, r.file, 10)
				for _, line := range e.plan {
					if !regexp.MustCompile(`(?m)^`+strings.TrimPrefix(line, "^")).MatchString(plan) && !regexp.MustCompile(line).MatchString(plan) {
						t.Errorf("plan does not say %q:\n%s", line, plan)
					}
				}
				testenv.Must(t, "up", r.file)
				plans(t, r.file, 0)
				for name, pid := range r.pids() {
					if was := pids[name]; was != 0 && was != pid && !strings.Contains(e.restarted, name) {
						t.Errorf("node %s has another init", name)
					}
				}
				if !e.hidden && r.picture() == before {
					t.Error("nothing has changed")
				}
				if e.check != nil {
					e.check(t, r)
				}
				writeFile(t, r.file, text)
				testenv.Must(t, "up", r.file)
				plans(t, r.file, 0)
				if after := r.picture(); after != before {
					t.Errorf("there and back:\n%s", diff(before, after))
				}
			})
		})
	}
}

// diff is the lines that are not in both.
func diff(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out []string
	for _, l := range x {
		if !slices.Contains(y, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range y {
		if !slices.Contains(x, l) {
			out = append(out, "+ "+l)
		}
	}
	return strings.Join(out, "\n")
}

// What was done to a running lab by hand is seen by plan and ps, and mended by up. FAULTS 2, 17, 25.
func TestDrift(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ harm, plan string }{
		"a link deleted":             {"ip -n NAME.a link del eth0", `~ link +a:eth0 -- lan0`},
		"a port deleted":             {"ip -n NAME link del c.eth0", `~ link +c:eth0 -- lan1`},
		"a bridge deleted":           {"ip -n NAME link del lan1", `\+ bridge +lan1`},
		"a leg deleted":              {"ip link del $(ip -o link | grep -o 'ns[0-9a-f]*@' | tr -d @)", `leg +the host -- lan0`},
		"an address changed":         {"ip -n NAME.b addr del 10.90.0.9/24 dev eth0; ip -n NAME.b addr add 10.90.0.99/24 dev eth0", `b:eth0 \+ 10.90.0.9/24, b:eth0 - 10.90.0.99/24`},
		"the host's address deleted": {"ip addr del 10.90.0.1/24 dev $(ip -o link | grep -o 'ns[0-9a-f]*@' | tr -d @)", `leg +the host -- lan0 .*10.90.0.1/24`},
		"lo flushed":                 {"ip -n NAME.a addr flush dev lo", `~ interface +a:lo +lo \+ 127.0.0.1/8, lo \+ ::1/128`},
		"a link down":                {"ip -n NAME.a link set p0 down", `a:p0 down -> up`},
		"an interface renamed":       {"ip -n NAME.c link set eth0 down; ip -n NAME.c link set eth0 name wan; ip -n NAME.c link set wan up", `c:eth0 is missing`},
		"a port taken off":           {"ip -n NAME link set c.eth0 nomaster", `c.eth0 is not a port of lan1`},
		"an MTU changed":             {"ip -n NAME.c link set eth0 mtu 1300", `c:eth0 mtu 1300 -> 1500`},
		"a route deleted":            {"ip -n NAME.a route del default", `\+ route +a: 0.0.0.0/0 via 10.90.0.1`},
		"a route changed":            {"ip -n NAME.a route replace default via 10.9.0.2", `\+ route +a: 0.0.0.0/0 via 10.90.0.1`},
		"a route that refuses":       {"ip -n NAME.a route replace blackhole default; ip -n NAME.a -6 route replace unreachable default metric 1024", `\+ route +a: 0.0.0.0/0 via 10.90.0.1`},
		"sysctls of all interfaces":  {"ip netns exec NAME.a sysctl -qw net.ipv4.conf.all.forwarding=0 net.ipv4.conf.eth0.forwarding=1", `~ sysctls +a +net.ipv4.ip_forward 0 -> 1`},
		"IPv6 turned off":            {"ip netns exec NAME.a sysctl -qw net.ipv6.conf.all.disable_ipv6=1", `~ link +a:eth0 -- lan0 +a:eth0 \+ fd00:90::2/64`},
		"routes flushed":             {"ip -n NAME.a route flush table main", `\+ route +a: 198.51.100.0/24`},
		"a sysctl changed":           {"ip netns exec NAME.a sysctl -qw net.ipv4.ip_forward=0", `~ sysctls +a +net.ipv4.ip_forward 0 -> 1`},
		"forwarding turned off":      {"echo 0 > /proc/sys/net/ipv4/ip_forward", `~ sysctl +net/ipv4/ip_forward`},
		"a name removed":             {"rm /run/netns/NAME.b", `name +/run/netns/NAME.b`},
		"a resolv.conf changed":      {"echo nameserver 192.0.2.99 >> /etc/netns/NAME.a/resolv.conf", `name +/etc/netns/NAME.a/resolv.conf`},
		"a process moved out of its control group": {"for f in /sys/fs/cgroup/memory/cgroup.procs /sys/fs/cgroup/cgroup.procs; do [ ! -e $f ] || ip netns pids NAME.a | head -n 1 >$f; done",
			`~ limits +a .*not in the node's control group`},
		"a command killed":     {"ip netns exec NAME.b true; kill -9 $(pgrep -P PID sleep)", `~ command +b .*it was ended by SIGKILL`},
		"a node's init killed": {"kill -9 PID", `~ node +b .*\(its init has ended; node restarted\)`},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			testenv.Isolate(t, func(t *testing.T) {
				r := start(t, base)
				before, pids := r.picture(), r.pids()
				script := strings.ReplaceAll(strings.ReplaceAll(c.harm, "NAME", r.name), "PID", fmt.Sprint(pids["b"]))
				if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", script, err, out)
				}
				want := regexp.MustCompile(strings.ReplaceAll(c.plan, "NAME", regexp.QuoteMeta(r.name)))
				testenv.Eventually(t, 5*time.Second, "the plan says "+want.String(), func() bool {
					return want.MatchString(testenv.Run(t, "plan", r.file).Stdout)
				})
				if ps := testenv.Must(t, "ps", r.name); !strings.Contains(ps, "differs from its file") {
					t.Errorf("ps does not tell:\n%s", ps)
				}
				testenv.Must(t, "up", r.file)
				plans(t, r.file, 0)
				if after := r.picture(); after != before {
					t.Errorf("mended:\n%s", diff(before, after))
				}
				if strings.Contains(c.harm, "-9 PID") {
					delete(pids, "b")
				}
				now := r.pids()
				for n, pid := range pids {
					if now[n] != pid {
						t.Errorf("node %s has another init", n)
					}
				}
			})
		})
	}
}

// Nodes and links that a change is not about lose no packet of one a millisecond. FAULTS goal 14.
func TestChangeDisturbsNothingElse(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, base)
		text := strings.ReplaceAll(base, "NAME", r.name)
		const packets = 1500
		res := make(chan testenv.Result)
		go func() {
			res <- r.exec("c", "ping", "-n", "-q", "-i", "0.001", "-c", fmt.Sprint(packets), "-W", "2", "10.91.0.2")
		}()
		count := 0
		for _, e := range changes() {
			if e.restarted == "c" || strings.Contains(e.old, "c:eth0") || strings.Contains(e.old, "a:eth1") || strings.Contains(e.old, "lan1:") || strings.Contains(e.old, "  c: {hosts") {
				continue
			}
			select {
			case got := <-res:
				t.Logf("%d changes in the time of %d packets", count, packets)
				if got.Code != 0 || !strings.Contains(got.Stdout, " 0% packet loss") {
					t.Errorf("exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
				}
				return
			default:
			}
			writeFile(t, r.file, e.in(t, text))
			testenv.Must(t, "up", r.file)
			count++
		}
		if got := <-res; got.Code != 0 || !strings.Contains(got.Stdout, " 0% packet loss") {
			t.Errorf("%d changes: exit code %d\n%s%s", count, got.Code, got.Stdout, got.Stderr)
		}
	})
}

// What cannot be changed is refused before anything is.
func TestChangeRefused(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, base)
		text := strings.ReplaceAll(base, "NAME", r.name)
		before, pids := r.picture(), r.pids()
		for name, c := range map[string]struct {
			old, new string
			code     int
			says     []string
		}{
			"a privileged node": {"  c: {", "  c: {privileged: true, ", 5, []string{"node c", "privileged", "take the lab down"}},
			"an unknown bridge": {"\"a:eth1\", lan1", "\"a:eth1\", lan7", 3, []string{"lan7"}},
			// All but one of the three nodes go: which ids there are is known before.
			"too many nodes":     {text[strings.Index(text, "nodes:"):], "nodes:\n" + many(68), 5, []string{"start nodes", "user ids", "for 67 nodes, and is to have 68", "take the lab down and up again"}},
			"a file not of yaml": {"nodes:", "nodes: [", 3, []string{r.file}},
			"no such bridge of the host": {"nodes:\n", "  br77: {external: true}\nnodes:\n  x: {}\nlinks:\n  - {endpoints: [\"x:eth0\", br77], address: 10.1.1.1/24}\nbinds:\n", 3,
				nil},
		} {
			writeFile(t, r.file, strings.Replace(text, c.old, c.new, 1))
			fails(t, testenv.Run(t, "plan", r.file), c.code, c.says...)
			fails(t, testenv.Run(t, "up", r.file), c.code, c.says...)
			if after := r.picture(); after != before || !maps.Equal(pids, r.pids()) {
				t.Errorf("%s: was refused and has changed the lab:\n%s", name, diff(before, after))
			}
		}
	})
}

// What a stranger has put where a running lab names its namespaces is told of before anything is changed, and is not touched.
func TestChangeRefusesStrangersNames(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, base)
		writeFile(t, r.file, strings.Replace(strings.ReplaceAll(base, "NAME", r.name), "[sleep, infinity]", "[sleep, \"1000\"]", 1))
		for path, says := range map[string]string{"/run/netns/" + r.name + ".b": "ip netns delete " + r.name + ".b", "/etc/netns/" + r.name + ".a/resolv.conf": "remove the file"} {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			writeFile(t, path, "a stranger's")
			fails(t, testenv.Run(t, "up", r.file), 5, path, says)
			if b, err := os.ReadFile(path); err != nil || string(b) != "a stranger's" {
				t.Errorf("%s is %q now, %v", path, b, err)
			}
			fails(t, testenv.Run(t, "plan", r.file), 5, path, says)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if plan := plans(t, r.file, 10); !strings.Contains(plan, "sleep 1000 (command changed") {
				t.Errorf("something was changed:\n%s", plan)
			}
		}
		testenv.Must(t, "up", r.file)
		plans(t, r.file, 0)
	})
}

// many are nodes of a file, the first called a.
func many(n int) string {
	text := "  a: {}\n"
	for i := range n - 1 {
		text += fmt.Sprintf("  m%d: {}\n", i)
	}
	return text
}

// A lab has ids for more nodes than it began with, whatever came and went in between.
func TestAsManyNodesAsThereAreIDs(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, "name: NAME\nnodes: {a: {}, gone: {}}\n")
		writeFile(t, r.file, "name: "+r.name+"\nnodes:\n"+many(66))
		testenv.Must(t, "up", r.file)
		if n := len(r.pids()); n != 66 {
			t.Errorf("the lab has %d nodes", n)
		}
		plans(t, r.file, 0)
		writeFile(t, r.file, "name: "+r.name+"\nnodes:\n"+many(67))
		fails(t, testenv.Run(t, "plan", r.file), 5, "for 66 nodes, and is to have 67")
	})
}

// A plan is for programs, too.
func TestPlanJSON(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, base)
		if out, err := exec.Command("ip", "-n", r.name+".a", "link", "del", "eth0").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		res := testenv.Run(t, "plan", r.file, "--json")
		var actions []lab.Action
		if err := json.Unmarshal([]byte(res.Stdout), &actions); err != nil || res.Code != 10 {
			t.Fatalf("exit code %d, error %v\n%s", res.Code, err, res.Stdout)
		}
		at := slices.IndexFunc(actions, func(a lab.Action) bool { return a.Kind == "link" })
		if at < 0 || actions[at].Op != "~" || actions[at].Name != "a:eth0 -- lan0" || actions[at].Cost != lab.CostLink || actions[at].Reason == "" {
			t.Errorf("%+v", actions)
		}
		testenv.Must(t, "up", r.file)
		if res := testenv.Run(t, "plan", r.file, "--json"); res.Code != 0 || res.Stdout != "[]\n" {
			t.Errorf("nothing to do: exit code %d, %q", res.Code, res.Stdout)
		}
	})
}

// What the host refuses of a change's ports, it refuses before anything is changed.
func TestPortConflictChangesNothing(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, base)
		before, pids := r.picture(), r.pids()
		taken, err := net.Listen("tcp", "127.0.0.1:28081")
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(strings.ReplaceAll(base, "NAME", r.name), "192.0.2.53", "192.0.2.54")
		text = strings.Replace(text, "28080:80", "28081:80", 1)
		writeFile(t, r.file, strings.Replace(text, "  - {endpoints: [\"a:eth1\", lan1]}\n", "", 1))
		got := testenv.Run(t, "up", r.file)
		fails(t, got, 5, "node b", "127.0.0.1:28081/tcp", "the lab runs on as it is")
		if strings.Contains(got.Stderr, "changes") {
			t.Errorf("something is said to be changed: %s", got.Stderr)
		}
		taken.Close()
		if after := r.picture(); after != before || !maps.Equal(pids, r.pids()) {
			t.Errorf("the lab has changed:\n%s", diff(before, after))
		}
		testenv.Must(t, "up", r.file)
		plans(t, r.file, 0)
	})
}

// A change that fails halfway tells what of it is made and what is not, and the same command finishes it.
func TestChangeFailsHalfway(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, base)
		text := strings.ReplaceAll(strings.ReplaceAll(base, "NAME", r.name), "192.0.2.53", "192.0.2.54")
		halfway := func(want ...string) {
			t.Helper()
			got := testenv.Run(t, "up", r.file)
			if got.Code == 0 || !slices.ContainsFunc(want, func(w string) bool { return strings.Contains(got.Stderr, w+"; run it again to finish") }) {
				t.Errorf("exit code %d, without any of %q:\n%s", got.Code, want, got.Stderr)
			}
		}
		// The old port is in the new one's place, and behind it is another's.
		taken, err := net.Listen("tcp", "127.0.0.2:28080")
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, r.file, strings.Replace(text, "28080:80", "0.0.0.0:28080:80", 1))
		halfway("of 3 changes 2 are made: dns a, port 127.0.0.1:28080/tcp; not made: port 0.0.0.0:28080/tcp")
		taken.Close()
		testenv.Must(t, "up", r.file)
		plans(t, r.file, 0)
		// Of a batch of requests the kernel refuses one: a subnet's last address is no next hop.
		const old, route, wrong = "{to: 198.51.100.0/24, via: 10.9.0.2}", "{to: 203.0.113.0/24, via: 10.9.0.2}", "{to: 192.0.2.0/24, via: 10.90.0.255}"
		writeFile(t, r.file, strings.Replace(text, old, route+", "+wrong, 1))
		testenv.MustCommand(t, "ip", "-n", r.name+".c", "link", "set", "eth0", "down")
		// The host's routes to what is behind a are made at the same time.
		const made = "link c:eth0 -- lan1, route a: 203.0.113.0/24 via 10.9.0.2, route a: 198.51.100.0/24 via 10.9.0.2, port 0.0.0.0:28080/tcp; not made: "
		const not = "route a: 192.0.2.0/24 via 10.90.0.255, port 127.0.0.1:28080/tcp"
		halfway("of 7 changes 4 are made: "+made+"leg the host -- lan0, "+not, "of 7 changes 5 are made: leg the host -- lan0, "+made+not)
		if got := r.sh("a", "ip route"); !strings.Contains(got, "203.0.113.0/24 via 10.9.0.2") || strings.Contains(got, "198.51.100.0/24") || strings.Contains(got, "192.0.2.0/24") {
			t.Errorf("the routes of a are\n%s", got)
		}
		writeFile(t, r.file, strings.Replace(text, old, route, 1))
		testenv.Must(t, "up", r.file)
		plans(t, r.file, 0)
	})
}

// A lab that is changed over and over has no more descriptors than one that was changed once: its init keeps nothing of nodes that
// have gone.
func TestChangesLeaveNoDescriptors(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		const text = "name: NAME\nnodes: {a: {env: {X: \"ROUND\"}}, b: {command: [sleep, infinity], tmpfs: [/tROUND]}, stays: {}}\n"
		r := start(t, strings.ReplaceAll(text, "ROUND", "0"))
		open := func() int {
			entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.status().InitPID))
			if err != nil {
				t.Fatal(err)
			}
			return len(entries)
		}
		var counts []int
		for i := range 6 {
			writeFile(t, r.file, strings.NewReplacer("NAME", r.name, "ROUND", fmt.Sprint(i+1)).Replace(text))
			testenv.Must(t, "up", r.file)
			counts = append(counts, open())
		}
		if first, last := counts[0], counts[len(counts)-1]; last > first+2 { // some connection may not be closed yet
			t.Errorf("descriptors of the lab's init after each change: %v", counts)
		}
		// Those who stay and those who are new see what is written later.
		writeFile(t, r.file, strings.NewReplacer("NAME", r.name, "ROUND", "6", "nodes:", "bridges: {lan: {subnet: 10.60.0.0/24}}\nlinks: [{endpoints: [\"a:eth0\", lan], address: 10.60.0.7/24}]\nnodes:").Replace(text))
		testenv.Must(t, "up", r.file)
		for _, n := range []string{"a", "b", "stays"} {
			r.sh(n, "grep 10.60.0.7 /etc/hosts")
		}
	})
}
