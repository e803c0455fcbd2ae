package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// between is a lab of two bridges with an address, 10.N.1.0/24 and 10.N.2.0/24, and of a node on each, with what more the first bridge has.
func between(n int, more string) string {
	return fmt.Sprintf(`
nodes:
  a: {routes: [{to: default, via: 10.%[1]d.1.1}, {to: "::/0", via: "fd00:%[1]d:1::1"}]}
  b: {routes: [{to: default, via: 10.%[1]d.2.1}, {to: "::/0", via: "fd00:%[1]d:2::1"}]}
bridges:
  one: {address: [10.%[1]d.1.1/24, "fd00:%[1]d:1::1/64"]%[2]s}
  two: {address: [10.%[1]d.2.1/24, "fd00:%[1]d:2::1/64"]}
links:
  - {endpoints: ["a:eth0", one], address: [10.%[1]d.1.2/24, "fd00:%[1]d:1::2/64"]}
  - {endpoints: ["b:eth0", two], address: [10.%[1]d.2.2/24, "fd00:%[1]d:2::2/64"]}
`, n, more)
}

// someAnswer tells which of some addresses answer, asked side by side.
const someAnswer = "for a in %s; do { ping -n -q -c 1 -W 1 $a >&2 && echo $a; } & done; wait"

// switches is how the host forwards, by interface.
func switches(t *testing.T) string {
	t.Helper()
	return testenv.MustCommand(t, "sh", "-c", "grep -r . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/forwarding /proc/sys/net/ipv6/conf/*/forwarding /proc/sys/net/ipv4/conf/*/accept_redirects")
}

// The host forwards between a lab's bridges, which have an address each, and for nobody else, whichever lab with or without translation
// comes and goes beside it.
func TestHostForwardsBetweenBridges(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		neighbour(t, "lan1", 1)
		neighbour(t, "lan2", 2)
		before := switches(t)
		name := testenv.LabName(t)
		one, other := run{t, name + "1"}, run{t, name + "2"}
		t.Cleanup(func() { testenv.Run(t, "down", one.name, other.name) })
		up := func(r run, text string) string {
			t.Helper()
			path := writeFile(t, t.TempDir(), "lab.yaml", text)
			testenv.Must(t, "up", "--name", r.name, path)
			if got := testenv.Run(t, "plan", "--name", r.name, path); got.Code != 0 {
				t.Errorf("there is more to do after up: %s", got.Stdout)
			}
			return path
		}
		check := func(when, forward string) {
			t.Helper()
			for from, to := range map[string][]string{"a": {"10.81.2.2", "fd00:81:2::2"}, "b": {"10.81.1.2", "fd00:81:1::2"}} {
				for _, a := range to {
					if got := one.exec(from, "ping", "-n", "-c", "1", "-W", "2", a); got.Code != 0 {
						t.Errorf("%s: %s does not reach %s", when, from, a)
					}
				}
			}
			if got := one.exec("a", "sh", "-c", fmt.Sprintf(someAnswer, "203.0.1.2 fd00:203:1::2")).Stdout; got != "" {
				t.Errorf("%s: a node reaches beyond the host: %s", when, got)
			}
			if got := testenv.MustCommand(t, "ip", "netns", "exec", "lan1", "sh", "-c", fmt.Sprintf(someAnswer, "10.81.1.2 fd00:81:1::2 203.0.2.2 fd00:203:2::2")); got != "" {
				t.Errorf("%s: a machine beside the host reaches %s", when, got)
			}
			if got := testenv.MustCommand(t, "cat", "/proc/sys/net/ipv4/ip_forward"); got != forward+"\n" {
				t.Errorf("%s: ip_forward is %s", when, got)
			}
		}
		path := writeFile(t, t.TempDir(), "lab.yaml", between(81, ""))
		if got := testenv.Run(t, "plan", "--name", one.name, path).Stdout; !strings.Contains(got, "one, two") {
			t.Errorf("plan does not tell of what the host forwards:\n%s", got)
		}
		up(one, between(81, ""))
		check("alone", "0")
		if got := testenv.Must(t, "inspect", one.name); strings.Count(got, ",routed") != 2 {
			t.Errorf("inspect does not tell of what the host forwards:\n%s", got)
		}
		up(other, between(82, ", nat: true"))
		check("beside a lab with translation", "2")
		testenv.Must(t, "down", one.name)
		up(one, between(81, ""))
		check("made beside one with translation", "2")
		testenv.Must(t, "down", other.name)
		check("after one with translation", "0")
		up(other, between(82, ", nat: true"))
		up(other, between(82, ""))
		check("after translation of another", "0")
		other.ping("a", "10.82.2.2")
		other.ping("a", "fd00:82:2::2")
		testenv.Must(t, "down", other.name)
		check("alone again", "0")
		// A bridge without an address, and its address again.
		single := strings.NewReplacer(`two: {address: [10.81.2.1/24, "fd00:81:2::1/64"]}`, `two: {subnet: [10.81.2.0/24, "fd00:81:2::/64"]}`).Replace(between(81, ""))
		up(one, single)
		if got := switches(t); strings.Contains(got, "forwarding:1") || strings.Contains(got, "forwarding:2") {
			t.Errorf("the host forwards for a lab with one bridge: %s", got)
		}
		up(one, between(81, ""))
		check("with an address again", "0")
		// What somebody has turned off up turns on.
		testenv.MustCommand(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
		testenv.MustCommand(t, "sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0", "net.ipv4.conf.all.accept_redirects=1")
		if got := testenv.Run(t, "plan", "--name", one.name, path); got.Code != 10 || !strings.Contains(got.Stdout, "the host does not forward") {
			t.Errorf("plan of forwarding that is off: %+v", got)
		}
		up(one, between(81, ""))
		check("turned on again", "0")
		testenv.Must(t, "down", one.name)
		if after := switches(t); after != before {
			t.Errorf("forwarding was\n%s\nand is\n%s", before, after)
		}
	})
}

// Labs that name each other reach each other, though the host does not forward and none has translation.
func TestPeersNeedNoForwarding(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		before := switches(t)
		name := testenv.LabName(t)
		one, two, third := run{t, name + "1"}, run{t, name + "2"}, run{t, name + "3"}
		t.Cleanup(func() { testenv.Run(t, "down", one.name, two.name, third.name) })
		file := func(n int, more string) string {
			return writeFile(t, t.TempDir(), "lab.yaml", fmt.Sprintf(`
nodes: {x: {routes: [{to: default, via: 10.%[1]d.0.1}, {to: "::/0", via: "fd00:%[1]d::1"}]}}
bridges: {lan0: {address: [10.%[1]d.0.1/24, "fd00:%[1]d::1/64"]%[2]s}}
links: [{endpoints: ["x:eth0", lan0], address: [10.%[1]d.0.2/24, "fd00:%[1]d::2/64"]}]
`, n, more))
		}
		peerOf := func(r run) string { return ", peers: " + r.name + "/lan0" }
		testenv.Must(t, "up", "--name", one.name, file(83, peerOf(two)))
		testenv.Must(t, "up", "--name", third.name, file(85, ", nat: true"+peerOf(one)))
		testenv.Must(t, "up", "--name", two.name, file(84, ", nat: true"+peerOf(one)))
		check := func(when string) {
			t.Helper()
			for r, to := range map[run][]string{one: {"10.84.0.2", "fd00:84::2"}, two: {"10.83.0.2", "fd00:83::2"}} {
				for _, a := range to {
					if got := r.exec("x", "ping", "-n", "-c", "1", "-W", "2", a); got.Code != 0 {
						t.Errorf("%s: %s does not reach %s", when, r.name, a)
					}
				}
			}
			for _, a := range []string{"10.85.0.2", "fd00:85::2"} {
				if got := one.exec("x", "ping", "-n", "-c", "1", "-W", "1", a); got.Code == 0 {
					t.Errorf("%s: it reaches %s, which it has not named", when, a)
				}
			}
		}
		check("with translation")
		testenv.Must(t, "up", "--name", two.name, file(84, peerOf(one)))
		check("with translation of a third alone")
		testenv.Must(t, "up", "--name", third.name, file(85, peerOf(one)))
		check("without translation")
		testenv.Must(t, "down", one.name)
		testenv.Must(t, "up", "--name", one.name, file(83, peerOf(two)))
		check("after one of them was made anew")
		for _, r := range []run{third, two, one} {
			testenv.Must(t, "down", r.name)
		}
		if after := switches(t); after != before {
			t.Errorf("forwarding was\n%s\nand is\n%s", before, after)
		}
	})
}

// A firewall that drops what is forwarded lets pass what goes between a lab's bridges, and nothing else of the lab.
func TestFirewallBetweenBridges(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "iptables", "nft")
		neighbour(t, "lan1", 1)
		forwards(t)
		for _, program := range []string{"iptables", "ip6tables"} {
			testenv.MustCommand(t, program, "-P", "FORWARD", "DROP")
		}
		atEnd(t, "nft", "flush", "ruleset")
		r := startText(t, between(86, ""))
		for _, a := range []string{"10.86.2.2", "fd00:86:2::2"} {
			r.ping("a", a)
		}
		r.refused("a", "ping -n -c 1 -W 1 203.0.1.2")
		cannotReach(t, "lan1", "10.86.1.2", "fd00:86:1::2")
		testenv.Must(t, "down", r.name)
		if rules := testenv.MustCommand(t, "iptables", "-S", "FORWARD"); strings.Contains(rules, "nsnet") {
			t.Errorf("rules are left:\n%s", rules)
		}
	})
}
