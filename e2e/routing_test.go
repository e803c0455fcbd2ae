package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/engines"
	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab/labinit"
)

// forwards has the host be a router that drops nothing, as one with virtual machines or an engine is.
func forwards(t *testing.T) {
	t.Helper()
	testenv.MustCommand(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	atEnd(t, "sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
}

// neighbour is a machine beside the host, on a network of its own, which has the host for its router: 203.0.N.2, fd00:203:N::2. It
// sends as soon as its addresses are there.
func neighbour(t *testing.T, name string, n int) string {
	t.Helper()
	path := netns(t, name, fmt.Sprintf("203.0.%d.1/24", n), fmt.Sprintf("203.0.%d.2/24", n))
	for _, args := range [][]string{
		{"address", "add", fmt.Sprintf("fd00:203:%d::1/64", n), "dev", name, "nodad"},
		{"-n", name, "address", "add", fmt.Sprintf("fd00:203:%d::2/64", n), "dev", "eth0", "nodad"},
		{"-n", name, "route", "add", "default", "via", fmt.Sprintf("203.0.%d.1", n)},
		{"-n", name, "route", "add", "default", "via", fmt.Sprintf("fd00:203:%d::1", n)},
	} {
		testenv.MustCommand(t, append([]string{"ip"}, args...)...)
	}
	for _, gw := range []string{fmt.Sprintf("203.0.%d.1", n), fmt.Sprintf("fd00:203:%d::1", n)} {
		testenv.Eventually(t, 2*time.Second, "it reaches the host", func() bool { return answers(t, name, gw) })
	}
	return path
}

// answers reports whether a machine beside the host gets an answer to one of two pings.
func answers(t *testing.T, from, to string) bool {
	t.Helper()
	return exec.Command("ip", "netns", "exec", from, "ping", "-n", "-q", "-c", "2", "-i", "0.1", "-W", "0.5", to).Run() == nil
}

func reaches(t *testing.T, from string, to ...string) {
	t.Helper()
	for _, a := range to {
		if !answers(t, from, a) {
			t.Errorf("%s does not reach %s", from, a)
		}
	}
}

func cannotReach(t *testing.T, from string, to ...string) {
	t.Helper()
	for _, a := range to {
		if answers(t, from, a) {
			t.Errorf("%s reaches %s", from, a)
		}
	}
}

const twoBridges = `
nodes: {a: {command: [python3, -m, http.server, "80", --bind, "::"], ready: {tcp: 80}, ports: ["0.0.0.0:8091:80"]}, b: {}, far: {}, r: {sysctls: {net.ipv4.ip_forward: 1, net.ipv6.conf.all.forwarding: 1}}}
bridges:
  out: {address: [10.61.0.1/24, "fd00:61::1/64"], nat: true}
  in: {address: [10.62.0.1/24, "fd00:62::1/64"]}
  behind: {subnet: [10.63.0.0/24, "fd00:63::/64"]}
links:
  - {endpoints: ["a:eth0", out], address: [10.61.0.2/24, "fd00:61::2/64"]}
  - {endpoints: ["r:eth0", out], address: [10.61.0.3/24, "fd00:61::3/64"]}
  - {endpoints: ["b:eth0", in], address: [10.62.0.2/24, "fd00:62::2/64"]}
  - {endpoints: ["r:eth1", behind], address: [10.63.0.1/24, "fd00:63::1/64"]}
  - {endpoints: ["far:eth0", behind], address: [10.63.0.2/24, "fd00:63::2/64"]}
`

// routed is twoBridges with the nodes' routes.
func routed() string {
	return strings.NewReplacer("b: {}", `b: {routes: [{to: default, via: 10.62.0.1}, {to: "::/0", via: "fd00:62::1"}]}`,
		"far: {}", `far: {routes: [{to: default, via: 10.63.0.1}, {to: "::/0", via: "fd00:63::1"}]}`,
		"r: {", `r: {routes: [{to: default, via: 10.61.0.1}, {to: "::/0", via: "fd00:61::1"}], `,
		"a: {", `a: {routes: [{to: default, via: 10.61.0.1}, {to: "::/0", via: "fd00:61::1"}], `).Replace(twoBridges)
}

// FAULTS goal 22: a machine beside a host that forwards reaches what is published and nothing else of a lab, with or without
// translation. What worked before works.
func TestNeighboursReachWhatIsPublished(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		forwards(t)
		lan := neighbour(t, "lan", 1)
		r := startText(t, routed())
		testenv.Eventually(t, 10*time.Second, "its server answers", func() bool {
			return exec.Command("curl", "-sf", "-m", "2", "-o", "/dev/null", "http://10.61.0.2/").Run() == nil
		})
		cannotReach(t, "lan", "10.61.0.2", "fd00:61::2", "10.62.0.2", "fd00:62::2")
		if got := testenv.Command(t, "ip", "netns", "exec", "lan", "curl", "-s", "-m", "1", "http://10.61.0.2/"); got.Code == 0 {
			t.Errorf("it gets what is not published: %s", got.Stdout)
		}
		testenv.MustCommand(t, "ip", "netns", "exec", "lan", "curl", "-sf", "-m", "5", "-o", "/dev/null", "http://203.0.1.1:8091/")
		for _, to := range []string{"203.0.1.2", "fd00:203:1::2"} {
			r.ping("a", to)
			r.refused("b", "ping -n -c 1 -W 1 "+to) // which has no translation
		}
		for _, to := range []string{"10.61.0.2", "fd00:61::2", "10.62.0.2", "fd00:62::2"} {
			pingFromHost(t, to)
		}
		for _, to := range []string{"10.62.0.2", "fd00:62::2", "203.0.1.1", "fd00:203:1::1"} {
			r.ping("a", to)
		}
		seen := listen(t, lan, "203.0.1.2:7")
		r.sh("a", "exec bash -c 'exec 3<>/dev/tcp/203.0.1.2/7; cat <&3 >/dev/null'")
		if got := <-seen; got != "203.0.1.1" {
			t.Errorf("the machine beside the host saw %s, not the host's address", got)
		}
	})
}

// What a node sends with an address that is not the lab's does not leave the host, nor reach it. What comes from behind a router of the
// lab does, with the host's address.
func TestSourcesAreTheLabs(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		forwards(t)
		lan := neighbour(t, "lan", 1)
		testenv.MustCommand(t, "ip", "route", "add", "default", "via", "203.0.1.2") // as hosts have one
		r := startText(t, routed())
		seen := make(chan string, 64)
		for _, at := range []string{"203.0.1.2:7", "[fd00:203:1::2]:7"} {
			var c net.PacketConn
			within(t, lan, func() (err error) { c, err = net.ListenPacket("udp", at); return err })
			t.Cleanup(func() { _ = c.Close() })
			go func() {
				b := make([]byte, 99)
				for {
					n, from, err := c.ReadFrom(b)
					if err != nil {
						return
					}
					seen <- string(b[:n]) + " from " + from.(*net.UDPAddr).IP.String()
				}
			}()
		}
		const send = `python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0)); s.sendto(sys.argv[3].encode(), (sys.argv[2], 7))' `
		r.sh("a", "ip address add 198.51.100.7/32 dev lo; ip address add fd00:bad::7/128 dev lo nodad")
		r.sh("a", send+"198.51.100.7 203.0.1.2 stranger")
		r.sh("a", send+"fd00:bad::7 fd00:203:1::2 stranger")
		r.sh("far", send+"10.63.0.2 203.0.1.2 behind")
		r.sh("far", send+"fd00:63::2 fd00:203:1::2 behind")
		r.sh("a", send+"10.61.0.2 203.0.1.2 own") // the last: what was sent before is there before it
		r.sh("a", send+"fd00:61::2 fd00:203:1::2 own")
		want := map[string]bool{"behind from 203.0.1.1": true, "behind from fd00:203:1::1": true, "own from 203.0.1.1": true, "own from fd00:203:1::1": true}
		for len(want) > 0 {
			select {
			case got := <-seen:
				if !want[got] {
					t.Errorf("outside there is %q", got)
				}
				delete(want, got)
			case <-time.After(20 * time.Second):
				t.Fatalf("outside there is not %v", want)
			}
		}
		// Nor does the host itself hear them; what it routes into the lab, it does.
		r.refused("a", "ping -n -c 1 -W 1 -I 198.51.100.7 10.61.0.1")
		for _, route := range [][]string{{"198.51.100.7/32", "via", "10.61.0.2"}, {"fd00:bad::7/128", "via", "fd00:61::2"}} {
			testenv.MustCommand(t, append([]string{"ip", "route", "add"}, route...)...)
			to, _, _ := strings.Cut(route[0], "/")
			pingFromHost(t, to)
		}
	})
}

// Labs reach each other where both files say so.
func TestLabsAreApart(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		forwards(t)
		file := func(n int, more string) string {
			return fmt.Sprintf(`
nodes: {x: {routes: [{to: default, via: 10.%[1]d.0.1}, {to: "::/0", via: "fd00:%[1]d::1"}]}}
bridges: {lan0: {address: [10.%[1]d.0.1/24, "fd00:%[1]d::1/64"]%[2]s}}
links: [{endpoints: ["x:eth0", lan0], address: [10.%[1]d.0.2/24, "fd00:%[1]d::2/64"]}]
`, n, more)
		}
		name := testenv.LabName(t)
		one, two := run{t, name + "1"}, run{t, name + "2"}
		up := func(r run, text string) {
			t.Helper()
			testenv.Must(t, "up", "--name", r.name, writeFile(t, t.TempDir(), "lab.yaml", text))
		}
		for _, r := range []run{one, two} {
			atEnd(t, testenv.Binary(t), "down", r.name)
		}
		peerOf := func(r run) string { return ", peers: " + r.name + "/lan0" }
		apart := func(when string) {
			t.Helper()
			for r, to := range map[run][]string{one: {"10.72.0.2", "fd00:72::2"}, two: {"10.71.0.2", "fd00:71::2"}} {
				for _, a := range to {
					if got := r.exec("x", "ping", "-n", "-c", "1", "-W", "1", a); got.Code == 0 {
						t.Errorf("%s: %s reaches %s", when, r.name, a)
					}
				}
			}
		}
		up(one, file(71, ""))
		up(two, file(72, ""))
		apart("as they are")
		up(one, file(71, ", nat: true"))
		up(two, file(72, ", nat: true"+peerOf(one)))
		apart("one of them names the other")
		next := writeFile(t, t.TempDir(), "lab.yaml", file(71, ", nat: true"+peerOf(two)))
		if got := testenv.Run(t, "plan", "--name", one.name, next); got.Code != 10 || !strings.Contains(got.Stdout, "+ peers") {
			t.Errorf("plan of peers: %+v", got)
		}
		up(one, file(71, ", nat: true"+peerOf(two)))
		for r, to := range map[run][]string{one: {"10.72.0.2", "fd00:72::2"}, two: {"10.71.0.2", "fd00:71::2"}} {
			for _, a := range to {
				r.ping("x", a)
			}
		}
		up(two, file(72, ""))
		apart("one of them names the other no more")
	})
}

// tableSockets names the lab's tables whose sockets are where down takes them from.
func (r run) tableSockets() string {
	r.t.Helper()
	var names []string
	for i, name := range []string{"own", "ipv4", "ipv6"} {
		to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", r.status().InitPID, labinit.TableFD+i))
		if err != nil {
			r.t.Error(err)
		}
		if strings.HasPrefix(to, "socket:") {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// The host forwards for labs, and not for the machines beside it among each other, until somebody else has it forward.
func TestHostRoutesForLabsAlone(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		neighbour(t, "one", 1)
		neighbour(t, "two", 2)
		before := testenv.MustCommand(t, "sh", "-c", "grep -r . /proc/sys/net/ipv4/conf/*/forwarding /proc/sys/net/ipv6/conf/*/forwarding /proc/sys/net/ipv4/conf/*/accept_redirects")
		r := startText(t, routed())
		cannotReach(t, "one", "203.0.2.2", "fd00:203:2::2")
		cannotReach(t, "two", "203.0.1.2", "fd00:203:1::2")
		all := []string{"203.0.1.2", "fd00:203:1::2", "203.0.2.2", "fd00:203:2::2"}
		for _, to := range all {
			r.ping("a", to)
		}
		// A second lab needs the same, and the first one goes.
		other := startAs(t, r.name+"o", filepath.Join("..", "examples", "topologies", "docker0.yaml"))
		testenv.Must(t, "down", r.name)
		cannotReach(t, "one", "203.0.2.2")
		other.ping("ns1", "203.0.2.2")
		testenv.Must(t, "down", other.name)
		if after := testenv.MustCommand(t, "sh", "-c", "grep -r . /proc/sys/net/ipv4/conf/*/forwarding /proc/sys/net/ipv6/conf/*/forwarding /proc/sys/net/ipv4/conf/*/accept_redirects"); after != before {
			t.Errorf("forwarding was\n%s\nand is\n%s", before, after)
		}

		r = startText(t, routed())
		if got := r.tableSockets(); got != "own ipv4 ipv6" {
			t.Errorf("down finds the sockets of tables %q", got)
		}
		cannotReach(t, "one", "203.0.2.2", "fd00:203:2::2")
		testenv.MustCommand(t, "sysctl", "-qw", "net.ipv4.ip_forward=1")
		testenv.Eventually(t, 2*time.Second, "the host's networks reach each other", func() bool { return answers(t, "one", "203.0.2.2") })
		if got := r.tableSockets(); got != "own ipv6" {
			t.Errorf("down finds the sockets of tables %q after somebody else has IPv4 forwarded", got)
		}
		reaches(t, "two", "203.0.1.2")
		cannotReach(t, "one", "fd00:203:2::2")
		for _, to := range all {
			r.ping("a", to)
		}
		testenv.MustCommand(t, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
		testenv.Must(t, "down", r.name)
		reaches(t, "one", "203.0.2.2", "fd00:203:2::2")
		testenv.MustCommand(t, "sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0", "net.ipv4.conf.all.accept_redirects=1")
	})
}

// Docker that is started while a lab runs has its containers reach out, though it finds a host that forwards already. Neither does a
// lab reach what Docker has not published.
func TestDockerAfterALab(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		neighbour(t, "lan", 1)
		r := startText(t, routed())
		// testenv.Docker would have all be as it is now when the test ends.
		testenv.Need(t, "dockerd", "docker", "containerd", "runc", "iptables", "nft", "busybox")
		engine, err := engines.Docker(t.Context(), testenv.LabName(t))
		if err != nil {
			t.Fatal(err)
		}
		e := &testenv.Engine{Engine: engine}
		atEnd(t, "nft", "flush", "ruleset")
		atEnd(t, "sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0", "net.ipv4.conf.all.accept_redirects=1")
		t.Cleanup(func() {
			if err := engine.Stop(); err != nil {
				t.Error(err)
			}
		})
		e.Do(t, "network", "create", "-o", "com.docker.network.bridge.name=custom", "nsnet-custom")
		e.Run(t, "web", "-p", "8092:80")
		e.Run(t, "other", "--network", "nsnet-custom")
		e.Do(t, "exec", "-d", "web", "busybox", "httpd", "-p", "80", "-h", "/etc")
		if got := e.Exec(t, "web", "ping", "-c", "1", "-W", "2", "203.0.1.2"); !strings.Contains(got, " 0% packet loss") {
			t.Errorf("a container of an engine that was started after the lab: %s", got)
		}
		check := func(when string) {
			t.Helper()
			for c, format := range map[string]string{"web": "{{.NetworkSettings.IPAddress}}", "other": `{{(index .NetworkSettings.Networks "nsnet-custom").IPAddress}}`} {
				to := e.Do(t, "inspect", "--format", format, c)
				if got := r.exec("a", "ping", "-n", "-c", "1", "-W", "1", to); got.Code == 0 {
					t.Errorf("%s a node reaches container %s, which has published nothing for it", when, c)
				}
				pingFromHost(t, to)
			}
			r.sh("a", "curl -sf -m 5 -o /dev/null http://10.61.0.1:8092/passwd || curl -s -m 5 -o /dev/null http://10.61.0.1:8092/")
			r.ping("a", "203.0.1.2")
		}
		testenv.Must(t, "up", "--name", r.name, writeFile(t, t.TempDir(), "lab.yaml", routed())) // with rules for Docker's chain
		if rules := testenv.MustCommand(t, "iptables", "-S", "DOCKER-USER"); !strings.Contains(rules, "nsnet:"+r.name) {
			t.Errorf("no rule for the lab:\n%s", rules)
		}
		check("with rules of its own")
		testenv.Must(t, "down", r.name)
		if got := e.Exec(t, "web", "ping", "-c", "1", "-W", "2", "203.0.1.2"); !strings.Contains(got, " 0% packet loss") {
			t.Errorf("after the lab has gone: %s", got)
		}
		e.Do(t, "rm", "-f", "web", "other")
		e.Do(t, "network", "rm", "nsnet-custom")
	})
}
