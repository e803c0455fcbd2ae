package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// When memory is short a node's commands go before its init, with which the node would end, however small they are.
func TestCommandsGoFirst(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {a: {limits: {memory: 10MiB}}, b: {}}")
		pid := r.node("a").PID
		for i := range 8 {
			if got := r.exec("a", "tail", "/dev/zero"); got.Code != 137 {
				t.Fatalf("the %dth command beyond the limit: %+v", i+1, got)
			}
		}
		if n := r.node("a"); n.PID != pid || n.State != "idle" {
			t.Errorf("the node is %+v", n)
		}
		if got := r.sh("b", "cat /proc/self/oom_score_adj"); got != "900" {
			t.Errorf("a command's oom_score_adj is %s", got)
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", r.node("b").PID))
		if err != nil || strings.TrimSpace(string(b)) == "900" {
			t.Errorf("its init's is %q, error %v", b, err)
		}
	})
}

// Where a node's memory is full of files, whatever runs there goes before its init when exec needs some, and exec itself.
func TestInitIsNotTheFirstToGo(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes:
  n:
    limits: {memory: 48MiB}
    command: "for i in $(seq 40); do sleep 4242 & done; dd if=/dev/zero of=/tmp/full bs=16k; exec sleep infinity"
`)
		pid := r.node("n").PID
		testenv.Eventually(t, patience, "the memory is full", func() bool { return r.node("n").OOMKills > 0 })
		for range 10 {
			r.exec("n", "true")
			if n := r.node("n"); n.PID != pid {
				t.Fatalf("the node is %s: %s", n.State, n.Reason)
			}
		}
	})
}
