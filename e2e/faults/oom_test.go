package faults

import (
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Goal 15: that a command was killed at its node's limit of memory is told at once, with the limit and the peak, by ps and inspect, and by
// the exec that has started it. The time is from before the memory fills up. Version 2 is tried in e2e/vm.
func TestOutOfMemoryIsToldAtOnce(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, `name: NAME
nodes:
  a: {command: "until [ -e /tmp/go ]; do sleep 0.01; done; exec tail /dev/zero", limits: {memory: 16MiB}}
  b: {limits: {memory: 16MiB}}
`)
		version := 2
		if _, err := os.Stat("/sys/fs/cgroup/memory/memory.limit_in_bytes"); err == nil {
			version = 1
		}
		told := regexp.MustCompile(`out of memory: limit 16 MiB, (peak [0-9.]+ MiB, )?1 process killed`)
		most := time.Second
		if !full() {
			most = 10 * time.Second // beside all other tests
		}
		r.sh("a", "touch /tmp/go")
		since := time.Now()
		said := ""
		testenv.Eventually(t, 20*time.Second, "ps tells that it was killed", func() bool {
			n := r.node("a")
			said = told.FindString(testenv.Must(t, "inspect", r.name+"/a"))
			return n.OOMKilled && n.ExitCode != nil && *n.ExitCode == 137 && said != ""
		})
		took := time.Since(since)
		since = time.Now()
		res := r.exec("b", "tail", "/dev/zero")
		execTook := time.Since(since)
		if res.Code != 137 || !told.MatchString(res.Stderr) {
			t.Errorf("exec: exit code %d\n%s", res.Code, res.Stderr)
		}
		if took > most || execTook > most {
			t.Errorf("told by ps after %s, by exec after %s", took, execTook)
		}
		goal(t, 15, "version %d: told by ps after %d ms, by exec after %d ms: %s", version, took.Milliseconds(), execTook.Milliseconds(), said)
	})
}
