package e2e

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// An address that the file changes goes, and those that somebody in the node has added stay; one that was changed by hand is put right.
func TestChangedAddressLeavesOthers(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		file := func(address string) string {
			return writeFile(t, dir, "lab.yaml", "nodes: {b: {}, c: {}}\nbridges: {lan: {subnet: 10.55.0.0/24}}\nlinks:\n"+
				"  - {endpoints: ['b:eth0', lan], address: "+address+"}\n  - {endpoints: ['c:eth0', lan], address: 10.55.0.3/24}\n")
		}
		r := start(t, file("10.55.0.2/24"))
		r.sh("b", "ip address add 10.9.0.1/24 dev eth0; ip address add 10.55.0.51/32 dev eth0; ip route add 10.99.0.0/24 via 10.9.0.2")
		const addresses = "ip -4 -o address show dev eth0 | awk '{print $4}' | sort"
		changed := file("10.55.0.4/24")
		if got := testenv.Run(t, "plan", changed, "--name", r.name); strings.Contains(got.Stdout, "10.9.0.1") || strings.Contains(got.Stdout, "10.55.0.51") {
			t.Errorf("plan takes what is the node's own: %s", got.Stdout)
		}
		testenv.Must(t, "up", changed, "--name", r.name)
		if got := r.sh("b", addresses); got != "10.55.0.4/24\n10.55.0.51/32\n10.9.0.1/24" {
			t.Errorf("the node has %q", got)
		}
		if got := r.sh("b", "ip route show 10.99.0.0/24"); !strings.Contains(got, "via 10.9.0.2") {
			t.Errorf("the node's own route is %q", got)
		}
		r.sh("b", "ip address del 10.55.0.4/24 dev eth0; ip address add 10.55.0.7/24 dev eth0")
		testenv.Must(t, "up", changed, "--name", r.name)
		if got := r.sh("b", addresses); got != "10.55.0.4/24" {
			t.Errorf("after a change by hand the node has %q", got)
		}
	})
}
