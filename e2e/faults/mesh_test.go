package faults

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// mesh is a lab of nodes on one bridge, and one more lab's worth of room in the subnet.
func mesh(nodes int) string {
	var b strings.Builder
	b.WriteString("name: NAME\nbridges: {lan0: {subnet: 10.80.0.0/16}}\nnodes:\n")
	for i := range nodes {
		fmt.Fprintf(&b, "  n%d: {}\n", i)
	}
	b.WriteString("links:\n")
	for i := range nodes {
		fmt.Fprintf(&b, "  - {endpoints: [\"n%d:eth0\", lan0], address: 10.80.1.%d/16}\n", i, i+1)
	}
	return b.String()
}

// FAULTS 19, goal 11: each node reaches each other with the first packet, though the kernel's one table of neighbours, which has
// 1,024 entries by default, does not hold all pairs.
func TestFault19_FullMesh(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		const nodes = 48
		r := start(t, mesh(nodes))
		var wg sync.WaitGroup
		var mu sync.Mutex
		delivered := 0
		limit := make(chan struct{}, 4)
		pids := map[string]int{}
		for _, n := range r.status().Nodes {
			pids[n.Name] = n.PID
		}
		for i := range nodes {
			wg.Add(1)
			go func() {
				defer wg.Done()
				limit <- struct{}{}
				defer func() { <-limit }()
				script := fmt.Sprintf("n=0; for j in $(seq %d); do [ $j = %d ] || ! ping -n -q -c 1 -W 1 10.80.1.$j >/dev/null || n=$((n + 1)); done; echo $n", nodes, i+1)
				res := testenv.InNetns(t, pids[fmt.Sprintf("n%d", i)], "sh", "-c", script)
				mu.Lock()
				defer mu.Unlock()
				n := 0
				_, _ = fmt.Sscan(res.Stdout, &n)
				delivered += n
				if n != nodes-1 {
					t.Errorf("n%d reaches %d of %d with the first packet: %s", i, n, nodes-1, res.Stderr)
				}
			}()
		}
		wg.Wait()
		limitOf, _ := os.ReadFile("/proc/sys/net/ipv4/neigh/default/gc_thresh3")
		t.Logf("gc_thresh3 %s", limitOf) // of the machine, where it can be seen
		goal(t, 11, "%d of %d pairs", delivered, nodes*(nodes-1))
		// A neighbour that says otherwise is believed: the entries are no permanent ones.
		r.sh("n1", "ip link set eth0 address 02:aa:bb:cc:dd:ee && ping -n -c 1 -W 1 10.80.1.1")
		r.sh("n0", "ip neigh show 10.80.1.2 | grep 02:aa:bb:cc:dd:ee && ping -n -c 1 -W 1 10.80.1.2")
	})
}
