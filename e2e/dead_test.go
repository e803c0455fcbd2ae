package e2e

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// deadNodeLab is a router between two nodes, which is on a bridge of the lab, on one of the host and on a cable, and serves a port.
const deadNodeLab = `
nodes:
  r: {sysctls: {net.ipv4.ip_forward: 1}, restart: always, command: [sleep, infinity], ports: ["8099:80"]}
  x: {routes: [{to: 10.71.2.0/24, via: 10.71.1.1}]}
  y: {routes: [{to: 10.71.1.0/24, via: 10.71.2.1}]}
bridges:
  lan: {address: 10.71.2.254/24}
  dead0: {external: true}
links:
  - {endpoints: ["r:wire", "x:wire"], addresses: ["10.71.1.1/24", "10.71.1.2/24"]}
  - {endpoints: ["r:lan", "lan"], address: 10.71.2.1/24}
  - {endpoints: ["y:lan", "lan"], address: 10.71.2.2/24}
  - {endpoints: ["r:ext", "dead0"], address: 10.71.3.1/24}
`

// kill ends the init of a node as the OOM killer does, and returns when ps says that it is dead.
func (r run) kill(node string) {
	r.t.Helper()
	testenv.MustCommand(r.t, "kill", "-9", strconv.Itoa(r.node(node).PID))
	testenv.Eventually(r.t, 10*time.Second, node+" is dead", func() bool { return r.node(node).State == "dead" })
}

// lost fails the test when a packet from a node is answered.
func (r run) lost(node, to string) {
	r.t.Helper()
	if got := r.exec(node, "ping", "-n", "-c", "1", "-W", "0.3", to); got.Code == 0 {
		r.t.Errorf("%s is answered by %s:\n%s", node, to, got.Stdout)
	}
}

// A node whose init was killed is as a machine that has lost its power: its neighbours keep their interfaces, which have no carrier,
// nothing answers or forwards, and its published port is closed. What is said of it is true, and up brings it back with all of that.
func TestDeadNodeHasNoPower(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.MustCommand(t, "ip", "link", "add", "dead0", "up", "type", "bridge")
		testenv.MustCommand(t, "ip", "address", "add", "10.71.3.254/24", "dev", "dead0")
		defer testenv.MustCommand(t, "ip", "link", "del", "dead0")
		r := startText(t, deadNodeLab)
		open := func() bool { // nothing serves it, so that it may be reset
			c, err := net.DialTimeout("tcp", "127.0.0.1:8099", 5*time.Second)
			if err == nil {
				_ = c.Close()
			}
			return !errors.Is(err, unix.ECONNREFUSED)
		}
		works := func(when string) {
			t.Helper()
			r.ping("x", "10.71.2.2")
			r.ping("y", "10.71.2.1")
			testenv.MustCommand(t, "ping", "-n", "-c", "1", "-W", "1", "10.71.3.1")
			if got := r.sh("x", "ip -br link show dev wire"); !strings.Contains(got, "LOWER_UP") {
				t.Errorf("%s: %s", when, got)
			}
			if !open() {
				t.Errorf("%s: the published port is closed", when)
			}
		}
		works("at first")
		r.kill("r")

		if got := r.sh("x", "ip -br link show dev wire"); !strings.Contains(got, "NO-CARRIER") || !strings.Contains(got, ",UP>") {
			t.Errorf("the other end of the cable: %s", got)
		}
		for _, port := range [][]string{{"ip", "-n", r.name, "-br", "link", "show", "r.lan"}, {"ip", "-br", "link", "show", "master", "dead0"}} {
			if got := testenv.MustCommand(t, port...); !strings.Contains(got, "NO-CARRIER") {
				t.Errorf("the port of a bridge: %s", got)
			}
		}
		r.lost("x", "10.71.1.1")
		r.lost("x", "10.71.2.2") // it does not forward
		r.lost("y", "10.71.2.1")
		r.ping("y", "10.71.2.254")
		if got := testenv.Command(t, "ping", "-n", "-c", "1", "-W", "0.3", "10.71.3.1"); got.Code == 0 {
			t.Errorf("the host is answered:\n%s", got.Stdout)
		}
		if open() {
			t.Error("the published port is open")
		}
		if got := testenv.MustCommand(t, "ip", "netns", "exec", r.name+".r", "ip", "-br", "link"); strings.Contains(got, "UP") {
			t.Errorf("its own interfaces:\n%s", got)
		}
		if got := r.exec("r", "true"); got.Code != 125 || !strings.Contains(got.Stderr, "it is dead; its init has ended; nsnet up with the lab's file starts it anew") {
			t.Errorf("exec: %+v", got)
		}
		plan := testenv.Run(t, "plan", r.status().File, "--name", r.name)
		for _, want := range []string{"its init has ended; node restarted", "r:wire -- x:wire", "node r is started anew; link re-made", "+ port"} {
			if !strings.Contains(plan.Stdout, want) {
				t.Errorf("%q is not in the plan\n%s%s", want, plan.Stdout, plan.Stderr)
			}
		}
		if strings.Contains(plan.Stdout, "missing") {
			t.Errorf("nothing is missing, but the plan says\n%s", plan.Stdout)
		}
		testenv.Must(t, "up", r.status().File, "--name", r.name)
		works("after up")
		if got := testenv.Run(t, "plan", r.status().File, "--name", r.name); got.Code != 0 {
			t.Errorf("plan after up: %+v", got)
		}
	})
}

// The same goes for a lab of so many nodes that nobody looks where nothing has changed.
func TestDeadNodeOfMany(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		var nodes, links strings.Builder
		for i := range 205 {
			fmt.Fprintf(&nodes, "  n%d: {}\n", i)
			if i < 6 {
				fmt.Fprintf(&links, "  - {endpoints: [\"n%d:lan\", \"lan\"]}\n", i)
			}
		}
		r := startText(t, "nodes:\n"+nodes.String()+"bridges: {lan: {address: 10.72.0.1/24}}\nlinks:\n"+links.String()+
			"  - {endpoints: [\"n0:wire\", \"n1:wire\"], addresses: [10.73.0.1/24, 10.73.0.2/24]}\n")
		file := r.status().File
		testenv.Must(t, "up", file, "--name", r.name) // now it knows
		r.ping("n1", "10.73.0.1")
		r.kill("n0")
		r.lost("n1", "10.73.0.1")
		r.lost("n2", "n0")
		if got := testenv.Run(t, "plan", file, "--name", r.name); strings.Count(got.Stdout, "\n") != 3 || !strings.Contains(got.Stdout, "node n0 is started anew") {
			t.Errorf("plan: %+v", got)
		}
		testenv.Must(t, "up", file, "--name", r.name)
		r.ping("n1", "10.73.0.1")
		if got := testenv.Run(t, "plan", file, "--name", r.name); got.Code != 0 {
			t.Errorf("plan after up: %+v", got)
		}
	})
}
