package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// announceLab is a lab of which an address is at another place after each change: node's name, its last byte, the bridge's, and those
// of the cable.
func announceLab(node string, own, bridge, here, there int) string {
	second := 23 - own // the other one of .11 and .12
	if own == 1 {
		second = 11
	}
	return fmt.Sprintf(`
nodes: {%[1]s: {}, other: {}, third: {}}
bridges: {lan: {address: ["10.74.0.%[3]d/24", "fd74::%[3]d/64"]}}
links:
  - {endpoints: ["%[1]s:lan", "lan"], address: ["10.74.0.%[2]d/24", "fd74::%[2]d/64"]}
  - {endpoints: ["other:lan", "lan"], address: ["10.74.0.%[6]d/24", "fd74::%[6]d/64"]}
  - {endpoints: ["third:lan", "lan"], address: ["10.74.0.30/24", "fd74::30/64"]}
  - {endpoints: ["other:wire", "third:wire"], addresses: [["10.75.0.%[4]d/24", "fd75::%[4]d/64"], ["10.75.0.%[5]d/24", "fd75::%[5]d/64"]]}
`, node, own, bridge, here, there, second)
}

// After a change of where addresses are nobody sends to where they were: of the first packets from a third node and from the host
// none is lost, where it took the kernel half a minute to find out.
func TestChangesAreAnnounced(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		file := writeFile(t, t.TempDir(), "lab.yaml", announceLab("one", 11, 1, 1, 2))
		r := start(t, file)
		check := func(when string) {
			t.Helper()
			// The bridge's own address and the host are one of them.
			r.pingAll("third", "10.74.0.11", "fd74::11", "10.74.0.12", "fd74::12", "10.74.0.1", "fd74::1")
			r.pingAll("other", "10.74.0.30", "fd74::30")
			for _, a := range []string{"10.74.0.11", "fd74::11", "10.74.0.12", "fd74::12", "10.74.0.1", "fd74::1"} {
				pingFromHost(t, a)
			}
			at := "2"
			if strings.Contains(r.sh("third", "ip -br address show wire"), "10.75.0.2/") {
				at = "1"
			}
			r.pingAll("third", "10.75.0."+at, "fd75::"+at)
			if t.Failed() {
				t.Fatal(when)
			}
		}
		check("at first")
		for _, tc := range []struct{ name, lab string }{
			{"two nodes exchange addresses", announceLab("one", 12, 1, 1, 2)},
			{"a node is replaced", announceLab("two", 12, 1, 1, 2)},
			{"the ends of a cable exchange addresses", announceLab("two", 12, 1, 2, 1)},
			{"a node and the bridge exchange addresses", announceLab("two", 1, 12, 2, 1)},
			{"and back", announceLab("two", 12, 1, 2, 1)},
		} {
			if err := os.WriteFile(file, []byte(tc.lab), 0o644); err != nil {
				t.Fatal(err)
			}
			testenv.Must(t, "up", file, "--name", r.name)
			check(tc.name)
		}
		// A MAC that somebody has changed, and all others know by now.
		r.sh("two", "ip link set lan address 02:00:00:00:00:77")
		r.sh("third", "ip neigh flush dev lan")
		testenv.MustCommand(t, "ip", "neigh", "flush", "all")
		r.pingAll("third", "10.74.0.12", "fd74::12")
		pingFromHost(t, "10.74.0.12")
		testenv.Must(t, "up", file, "--name", r.name)
		check("a MAC is put back")
	})
}

// A lab on a bridge of the host has neighbours that may know its addresses from another lab.
func TestUpIsAnnouncedToStrangers(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.MustCommand(t, "ip", "link", "add", "str0", "up", "type", "bridge")
		testenv.MustCommand(t, "ip", "address", "add", "10.76.0.1/24", "dev", "str0")
		testenv.MustCommand(t, "ip", "address", "add", "fd76::1/64", "dev", "str0", "nodad")
		defer testenv.MustCommand(t, "ip", "link", "del", "str0")
		// A bridge without a port that is up forgets its neighbours.
		testenv.MustCommand(t, "ip", "link", "add", "str1", "up", "master", "str0", "type", "veth", "peer", "str2")
		testenv.MustCommand(t, "ip", "link", "set", "str2", "up")
		defer testenv.MustCommand(t, "ip", "link", "del", "str1")
		lab := func(node string) string {
			return "nodes: {" + node + ": {}}\nbridges: {str0: {external: true}}\nlinks: [{endpoints: [\"" + node + ":e\", str0], address: [10.76.0.2/24, \"fd76::2/64\"]}]\n"
		}
		r := startText(t, lab("one"))
		pingFromHost(t, "10.76.0.2")
		pingFromHost(t, "fd76::2")
		testenv.Must(t, "down", r.name)
		file := writeFile(t, t.TempDir(), "lab.yaml", lab("two"))
		testenv.Must(t, "up", file, "--name", r.name)
		pingFromHost(t, "10.76.0.2")
		pingFromHost(t, "fd76::2")
	})
}
