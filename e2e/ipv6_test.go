package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

const twoOfIPv6 = `
nodes:
  a: {routes: [{to: "fd00:99::/64", via: "fd00:8::2"}]}
  b: {}
bridges:
  lan0: {subnet: [10.8.0.0/24, "fd00:8::/64"]}
links:
  - endpoints: ["a:eth0", "lan0"]
  - endpoints: ["b:eth0", "lan0"]
  - endpoints: ["a:p.0", "b:p.0"]
    addresses: [["fd00:10::1/128"], ["fd00:10::2/128"]]
`

// linkLocals are the link-local addresses of an interface that may be used, one a line.
func (r run) linkLocals(node, link string) string {
	r.t.Helper()
	return r.sh(node, "ip -6 -o address show dev "+link+" scope link -tentative | awk '{print $4}'")
}

// An interface that goes down and up has its link-local and its fixed IPv6 addresses again, and one of each.
func TestIPv6ComesBackAfterDownAndUp(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, twoOfIPv6)
		for _, link := range []string{"eth0", "p.0"} {
			before := r.linkLocals("a", link)
			if strings.Count(before, "/64") != 1 {
				t.Fatalf("%s has the link-local addresses %q", link, before)
			}
			r.sh("a", "ip link set "+link+" down")
			if got := r.sh("a", "ip -6 -o address show dev "+link); !strings.Contains(got, "fd00:") {
				t.Errorf("%s is down and has lost its fixed address: %s", link, got)
			}
			r.sh("a", "ip link set "+link+" up")
			testenv.Eventually(t, 20*time.Second, link+" has its link-local address again", func() bool { return r.linkLocals("a", link) == before })
		}
		testenv.Eventually(t, 20*time.Second, "a reaches b again", func() bool { return r.exec("a", "ping", "-c1", "-W1", "fd00:8::2").Code == 0 })
		other := strings.TrimSuffix(strings.TrimSpace(r.linkLocals("b", "eth0")), "/64")
		r.ping("a", other+"%eth0")
		// As on any Linux: what the kernel makes of an address is back, what was set is not.
		if got := r.sh("a", "ip -6 route"); !strings.Contains(got, "fd00:8::/64 dev eth0") || strings.Contains(got, "fd00:99::") {
			t.Errorf("routes after down and up:\n%s", got)
		}
		// Nor does a change of the hardware address by the file leave two.
		testenv.Must(t, "up", "--name", r.name, r.changed(`"a:eth0", "lan0"`, `{node: a, interface: eth0, mac: "02:00:00:00:00:77"}, "lan0"`))
		if got := r.linkLocals("a", "eth0"); got != "fe80::ff:fe00:77/64" {
			t.Errorf("after a change of the hardware address a has %q", got)
		}
		if got := testenv.Must(t, "up", "--name", r.name, r.changed(`"a:eth0", "lan0"`, `{node: a, interface: eth0, mac: "02:00:00:00:00:77"}, "lan0"`)); !strings.Contains(got, "nothing to do") {
			t.Errorf("the same file again: %s", got)
		}
	})
}

// changed is a file of twoOfIPv6 with another text in the place of one.
func (r run) changed(old, text string) string {
	r.t.Helper()
	if !strings.Contains(twoOfIPv6, old) {
		r.t.Fatalf("no %q", old)
	}
	return writeFile(r.t, r.t.TempDir(), "changed.yaml", strings.Replace(twoOfIPv6, old, text, 1))
}

// What is made in a node is as on any Linux: interfaces have link-local addresses, which are looked for twice first, and do
// not keep what they are given.
func TestInterfacesMadeInANode(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, twoOfIPv6)
		r.sh("a", `ip link add v0 type veth peer name v1
			ip link add br0 address 02:00:00:00:00:b0 type bridge
			ip link set v1 master br0
			ip link add m0 link eth0 type macvlan mode bridge
			for l in v0 v1 br0 m0; do ip link set $l up; done`)
		for _, link := range []string{"v0", "v1", "br0", "m0"} {
			testenv.Eventually(t, 20*time.Second, link+" has a link-local address", func() bool { return strings.Count(r.linkLocals("a", link), "fe80:") == 1 })
		}
		got := r.sh("a", "cd /proc/sys/net/ipv6/conf; grep . v0/accept_dad v0/accept_ra v0/keep_addr_on_down eth0/accept_dad eth0/accept_ra eth0/keep_addr_on_down p.0/accept_ra")
		want := "v0/accept_dad:1\nv0/accept_ra:1\nv0/keep_addr_on_down:0\neth0/accept_dad:1\neth0/accept_ra:0\neth0/keep_addr_on_down:1\np.0/accept_ra:0"
		if got != want {
			t.Errorf("sysctls:\n%s\nnot\n%s", got, want)
		}
		// And nothing of it is the file's business.
		file := writeFile(t, t.TempDir(), "lab.yaml", twoOfIPv6)
		if got := testenv.Must(t, "plan", "--name", r.name, file); !strings.Contains(got, "nothing to do") {
			t.Errorf("plan: %s", got)
		}
	})
}

// An interface with slaac configures itself from the advertisements of a router of the lab, also on a node that
// forwards; its neighbour without does not, and it can be turned on and off in a lab that runs.
func TestSLAAC(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "dnsmasq")
	testenv.Isolate(t, func(t *testing.T) {
		const text = `
nodes:
  r:
    sysctls: {net.ipv6.conf.all.forwarding: 1}
    command: [dnsmasq, --keep-in-foreground, --port=0, --no-hosts, --conf-file=/dev/null, --user=root, --pid-file=, --dhcp-leasefile=/tmp/leases,
      --interface=eth0, --enable-ra, "--ra-param=eth0,4,60", "--dhcp-range=::,constructor:eth0,ra-only"]
  c: {}
  f: {sysctls: {net.ipv6.conf.all.forwarding: 1}}
  n: {}
bridges: {lan0: {}}
links:
  - {endpoints: ["r:eth0", lan0], address: "fd00:7::1/64"}
  - endpoints: [{node: c, interface: eth0, slaac: true}, lan0]
  - endpoints: [{node: f, interface: eth0.7, slaac: true}, lan0]
  - endpoints: ["n:eth0", lan0]
`
		r := startText(t, text)
		has := func(node string) bool {
			out := r.sh(node, "ip -6 -o address show scope global -tentative; ip -6 route show default")
			return strings.Contains(out, "fd00:7::") && strings.Contains(out, "default via fe80:") && strings.Contains(out, "proto ra")
		}
		for _, node := range []string{"c", "f"} {
			testenv.Eventually(t, 60*time.Second, node+" has an address and a default route by SLAAC", func() bool { return has(node) })
			r.ping(node, "fd00:7::1")
		}
		if has("n") {
			t.Error("an interface without slaac has configured itself")
		}
		file := writeFile(t, t.TempDir(), "lab.yaml", text)
		if got := testenv.Must(t, "plan", "--name", r.name, file); !strings.Contains(got, "nothing to do") {
			t.Errorf("plan with addresses of SLAAC: %s", got)
		}
		other := strings.NewReplacer(`"n:eth0"`, `{node: n, interface: eth0, slaac: true}`, `{node: c, interface: eth0, slaac: true}`, `"c:eth0"`).Replace(text)
		file = writeFile(t, t.TempDir(), "lab.yaml", other)
		testenv.Must(t, "up", "--name", r.name, file)
		testenv.Eventually(t, 60*time.Second, "n has an address", func() bool { return has("n") })
		if got := r.sh("c", "cat /proc/sys/net/ipv6/conf/eth0/accept_ra"); got != "0" {
			t.Errorf("accept_ra of an interface without slaac is %s", got)
		}
	})
}

// A host that has IPv6 turned off by sysctls has it on its leg to a bridge with an IPv6 address, and nodes have it.
func TestHostWithIPv6Off(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		set := func(value string) {
			for _, of := range []string{"all", "default"} { // the first sets the second
				if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+of+"/disable_ipv6", []byte(value), 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		set("1")
		defer set("0")
		file, name := writeFile(t, t.TempDir(), "lab.yaml", `
nodes: {a: {}}
bridges: {lan0: {address: [10.8.0.1/24, "fd00:8::1/64"]}}
links: [{endpoints: ["a:eth0", lan0]}]
`), testenv.LabName(t)
		testenv.Must(t, "up", file, "--name", name)
		defer testenv.Must(t, "down", name)
		r := run{t, name}
		r.ping("a", "fd00:8::1")
		pingFromHost(t, "fd00:8::2")
		// Also where it is turned off on a leg that is there.
		links := testenv.MustCommand(t, "ip", "-o", "link", "show", "type", "veth")
		leg, _, _ := strings.Cut(strings.TrimSpace(strings.SplitN(links, ":", 3)[1]), "@")
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+leg+"/disable_ipv6", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
		testenv.Must(t, "up", file, "--name", name)
		r.ping("a", "fd00:8::1")
	})
}
