package e2e

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// usage is what stats says of a lab's nodes over an interval.
func (r run) usage(interval string) map[string]lab.NodeUsage {
	r.t.Helper()
	var u lab.Usage
	if err := json.Unmarshal([]byte(testenv.Must(r.t, "stats", "--json", "--interval", interval, r.name)), &u); err != nil {
		r.t.Fatal(err)
	}
	nodes := map[string]lab.NodeUsage{}
	for _, n := range u.Nodes {
		nodes[n.Node] = n
	}
	return nodes
}

// onlyChild is the pid of a node's command, as its init's only child.
func (r run) onlyChild(node string) string {
	r.t.Helper()
	pid := strconv.Itoa(r.node(node).PID)
	children, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	if err != nil || len(strings.Fields(string(children))) != 1 {
		r.t.Fatalf("children of %s: %q, %v", node, children, err)
	}
	return strings.TrimSpace(string(children))
}

// onCPU is the time that a process of one thread has run, by the scheduler's own count.
func onCPU(t *testing.T, pid string) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/schedstat")
	if err != nil {
		t.Fatal(err)
	}
	ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(ns)
}

func TestStats(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes:
  limited: {command: "while :; do :; done", limits: {cpu: 0.2, memory: 64MiB, pids: 100}}
  free: {command: "while :; do :; done"}
  idle: {}
bridges: {lan0: {subnet: 10.4.0.0/24}}
links:
  - endpoints: ["idle:eth0", "lan0"]
  - endpoints: ["free:eth1", "lan0"]
`)
		// Of a busy machine a node may get less than its limit, but never more; what the scheduler
		// says that it got is the measure.
		spinner := r.onlyChild("limited")
		var got map[string]lab.NodeUsage
		testenv.Eventually(t, 30*time.Second, "stats shows what the scheduler gives the limited node", func() bool {
			before, begin := onCPU(t, spinner), time.Now()
			got = r.usage("1500ms")
			want := (onCPU(t, spinner) - before).Seconds() / time.Since(begin).Seconds()
			if cores := got["limited"].CPUCores; cores > 0.28 {
				t.Fatalf("limited to 0.2 cores, it uses %v", cores)
			}
			return want > 0.01 && math.Abs(got["limited"].CPUCores-want) < 0.02+want/4
		})
		if n := got["idle"]; n.CPUCores != 0 || n.Memory == nil || *n.Memory == 0 || n.MemoryOf != "processes" || n.MemoryMax != nil || n.Pids != 1 {
			t.Errorf("the idle node: %+v", n)
		}
		if n := got["limited"]; n.MemoryOf != "group" || n.MemoryMax == nil || *n.MemoryMax != 64<<20 || n.PidsMax == nil || *n.PidsMax != 100 || n.Throttled == nil ||
			n.MemoryPeak == nil || *n.MemoryPeak == 0 || n.Read == nil || n.Written == nil {
			t.Errorf("the node with limits: %+v", n)
		}
		testenv.Eventually(t, 30*time.Second, "a node without limits uses some", func() bool {
			got = r.usage("500ms")
			return got["free"].CPUCores > 0.02
		})
		testenv.Must(t, "pause", r.name+"/free")
		if n := r.usage("500ms")["free"]; n.CPUCores != 0 {
			t.Errorf("a paused node uses %v cores", n.CPUCores)
		}

		before := r.usage("100ms")["idle"].Interfaces
		r.sh("idle", "ping -n -q -c 20 -i 0.01 -s 1000 10.4.0.2")
		after := r.usage("100ms")["idle"].Interfaces
		if len(before) != 1 || len(after) != 1 || before[0].Name != "eth0" {
			t.Fatalf("interfaces: %+v, %+v", before, after)
		}
		for what, n := range map[string][2]uint64{
			"packets received": {after[0].RxPackets - before[0].RxPackets, 20}, "packets sent": {after[0].TxPackets - before[0].TxPackets, 20},
			"bytes received": {after[0].RxBytes - before[0].RxBytes, 20 * 1042}, "bytes sent": {after[0].TxBytes - before[0].TxBytes, 20 * 1042},
		} {
			if n[0] < n[1] || n[0] > n[1]+n[1]/10+600 {
				t.Errorf("%s: %d, not about %d", what, n[0], n[1])
			}
		}

		table := testenv.Must(t, "stats", "--no-stream", "--interval", "100ms")
		for _, want := range []string{"LAB ", "limited", "64 MiB", "/100", "INTERFACE", "eth1"} {
			if !strings.Contains(table, want) {
				t.Errorf("no %q in\n%s", want, table)
			}
		}
		live := testenv.Command(t, "timeout", "-s", "INT", "1.5", testenv.Binary(t), "stats", r.name, "--interval", "200ms")
		if n := strings.Count(live.Stdout, "LAB  "); n < 4 { // two tables each time
			t.Errorf("in 1.5 s, %d tables\n%s%s", n, live.Stdout, live.Stderr)
		}
		file := t.TempDir() + "/nsnet.prom"
		testenv.Must(t, "stats", "--no-stream", "--prometheus", file)
		text, err := os.ReadFile(file)
		for _, want := range []string{
			"# TYPE nsnet_node_cpu_seconds_total counter\n", `nsnet_node_memory_limit_bytes{lab="` + r.name + `",node="limited"} 67108864` + "\n",
			`nsnet_interface_receive_packets_total{lab="` + r.name + `",node="idle",interface="eth0"} `,
		} {
			if err != nil || !strings.Contains(string(text), want) {
				t.Errorf("%v, no %q in\n%s", err, want, text)
			}
		}
		stream := exec.Command(testenv.Binary(t), "stats", "--interval", "100ms", "--prometheus", file+"2")
		if err := stream.Start(); err != nil {
			t.Fatal(err)
		}
		var first []byte
		testenv.Eventually(t, 20*time.Second, "the file is written again", func() bool {
			b, err := os.ReadFile(file + "2")
			if err != nil {
				return false
			}
			if first == nil {
				first = b
			}
			return string(b) != string(first)
		})
		if err := stream.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		_ = stream.Wait()
		if got := testenv.Run(t, "stats", r.name+"x"); got.Code != 4 {
			t.Errorf("stats of no lab: exit code %d", got.Code)
		}
	})
}
