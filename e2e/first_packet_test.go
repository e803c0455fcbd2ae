package e2e

import (
	"os"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// TestFault26_FirstPacketAfterUp holds the promise that everything is ready when up returns: of the
// first packets between all kinds of ends none is lost, time after time.
func TestFault26_FirstPacketAfterUp(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		file := writeFile(t, dir, "lab.yaml", `
nodes: {a: {}, b: {}, c: {}}
bridges:
  lan0: {address: [10.8.0.1/24, "fd00:8::1/64"]}
  lan1: {subnet: [10.9.0.0/24, "fd00:9::/64"]}
links:
  - endpoints: ["a:eth0", "lan0"]
  - endpoints: ["b:eth0", "lan0"]
  - endpoints: ["b:eth1", "lan1"]
  - endpoints: ["c:eth1", "lan1"]
  - endpoints: ["a:p", "c:p"]
    addresses: [[10.10.0.1/32, "fd00:10::1/128"], [10.10.0.2/32, "fd00:10::2/128"]]
`)
		times := 20
		if os.Getenv("NSNET_FAULTS") == "full" {
			times = 100
		}
		for i := range times {
			testenv.Must(t, "up", file, "--name", name)
			r := run{t, name}
			// All at once, each the first packet of its way.
			r.pingAll("a", "10.8.0.3", "fd00:8::3", "10.8.0.1", "fd00:8::1", "10.10.0.2", "fd00:10::2")
			r.pingAll("c", "10.9.0.1", "fd00:9::1")
			pingFromHost(t, "10.8.0.3")
			pingFromHost(t, "fd00:8::3")
			testenv.Must(t, "down", name)
			if t.Failed() {
				t.Fatalf("in round %d", i+1)
			}
		}
		t.Logf("goal 13: 0 lost of 10 ways, IPv4 and IPv6, in %d labs", times)
	})
}

// pingAll sends one packet to each address at the same time.
func (r run) pingAll(node string, addresses ...string) {
	r.t.Helper()
	script := "set --; "
	for _, a := range addresses {
		script += "ping -n -c 1 -W 1 " + a + " >/tmp/out-" + a + " & set -- $@ $!; "
	}
	res := r.exec(node, "sh", "-c", script+`bad=0; for p in $@; do wait $p || bad=1; done; [ $bad = 0 ] || { cat /tmp/out-*; exit 1; }`)
	if res.Code != 0 {
		r.t.Errorf("from %s, lost:\n%s%s", node, res.Stdout, res.Stderr)
	}
}
