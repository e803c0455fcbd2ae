package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// needFRR skips the test without Debian's FRR, whose daemons are in no PATH.
func needFRR(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("/usr/lib/frr/bgpd"); err != nil {
		testenv.Need(t, "bgpd")
	}
}

func checkLeafSpine(t *testing.T, r run) {
	var hosts []string
	for rack := 1; rack <= 4; rack++ {
		hosts = append(hosts, fmt.Sprintf("h%d1", rack), fmt.Sprintf("h%d2", rack))
	}
	allPairs := func(why string) {
		t.Helper()
		for _, from := range hosts {
			// One process of the node for all its packets, v4 and v6, each of which is tried once.
			script := "for h in " + strings.Join(hosts, " ") +
				"; do ping -4 -q -c 1 -W 1 $h && ping -6 -q -c 1 -W 1 $h || { echo no answer of $h; exit 1; }; done"
			testenv.Eventually(t, 20*time.Second, why+": "+from+" reaches all others", func() bool {
				return r.exec(from, "sh", "-c", script).Code == 0
			})
		}
	}
	allPairs("at first")
	for _, version := range []string{"-4", "-6"} {
		testenv.Eventually(t, 20*time.Second, "leaf1 has each rack by both spines", func() bool {
			routes := r.sh("leaf1", "ip "+version+" route show proto bgp")
			return strings.Count(routes, "dev spine1") == 3 && strings.Count(routes, "dev spine2") == 3
		})
	}
	if got := r.ping("h11", "-4 h42"); !strings.Contains(got, "ttl=61 ") {
		t.Errorf("leaf, spine and leaf do not count in the time to live:\n%s", got)
	}
	for leaf := 1; leaf <= 4; leaf++ {
		r.sh("spine1", fmt.Sprintf("ip link set leaf%d down", leaf))
	}
	testenv.Eventually(t, 20*time.Second, "leaf1 gives spine1 up", func() bool {
		return !strings.Contains(r.sh("leaf1", "ip -4 route; ip -6 route"), "spine1 proto bgp") &&
			!strings.Contains(r.sh("leaf1", "ip -4 route show proto bgp; ip -6 route show proto bgp"), "dev spine1")
	})
	allPairs("without spine1")
}
