package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

func TestUpdate(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		file := writeFile(t, t.TempDir(), "lab.yaml", `
nodes:
  eater: {command: "x=$(head -c 33554432 /dev/zero | tr '\\0' x); echo full; sleep 600; echo ${#x}", limits: {memory: 256MiB, cpu: 1}}
  free: {}
`)
		r := start(t, file)
		testenv.Eventually(t, 30*time.Second, "the node has its memory", func() bool {
			return testenv.Must(t, "logs", r.name+"/eater") == "full\n"
		})
		if got, want := testenv.Must(t, "update", "eater", "--memory", "128MiB", "--cpu", "none"), r.name+"/eater is limited to memory 128 MiB\n"; got != want {
			t.Errorf("update printed %q, not %q", got, want)
		}
		if got := r.node("eater"); got.State != lab.StateRunning || got.Limits.Memory != 128<<20 || got.Limits.CPU != 0 {
			t.Errorf("after an update with room for all it has: %+v", got)
		}
		testenv.Must(t, "update", "eater", "--memory", "10MiB")
		testenv.Eventually(t, 10*time.Second, "what is above the limit is killed", func() bool { return r.node("eater").State == lab.StateExited })
		if got := r.node("eater"); *got.ExitCode != 137 || got.Limits.Memory != 10<<20 {
			t.Errorf("after an update without room: %+v", got)
		}
		r.sh("eater", "true") // the node is still there

		// A node without groups gets them, with what runs in it.
		var res lab.UpdateResult
		if err := json.Unmarshal([]byte(testenv.Must(t, "update", r.name+"/free", "--json", "--pids", "20", "--memory", "20MiB", "--cpu-weight", "50")), &res); err != nil {
			t.Fatal(err)
		}
		if res.Name != r.name || res.Node != "free" || res.Limits.Pids != 20 || res.Limits.Memory != 20<<20 || res.Limits.CPUWeight != 50 {
			t.Errorf("update printed %+v", res)
		}
		const many = "for i in $(seq 30); do sleep 0.5 & done; wait; echo all"
		const big = "x=$(head -c 33554432 /dev/zero | tr '\\0' x); echo ${#x}"
		if said := r.refused("free", many); !strings.Contains(strings.ToLower(said), "cannot fork") {
			t.Errorf("thirty processes where twenty are allowed: %s", said)
		}
		testenv.Must(t, "update", "free", "--pids", "none")
		if got := r.sh("free", many); got != "all" {
			t.Errorf("without a limit of processes: %s", got)
		}
		if res := r.exec("free", "sh", "-c", big); strings.Contains(res.Stdout, "33554432") {
			t.Error("32 MiB where 20 are allowed")
		}
		testenv.Must(t, "update", "free", "--memory", "none")
		if got := r.sh("free", big); got != "33554432" {
			t.Errorf("without a limit of memory: %s", got)
		}
		if got := r.node("free").Limits; got.Memory != 0 || got.Pids != 0 || got.CPUWeight != 50 {
			t.Errorf("limits: %+v", got)
		}

		// Limits that depend on each other keep doing so.
		if got := testenv.Must(t, "update", "free", "--memory", "32MiB", "--memory-swap", "64MiB", "--cpuset", "0"); !strings.Contains(got, "cpuset 0, memory 32 MiB, memory and swap 64 MiB") {
			t.Errorf("update printed %q", got)
		}
		if got := r.sh("free", "grep Cpus_allowed_list /proc/self/status"); !strings.HasSuffix(got, "\t0") {
			t.Errorf("on one processor: %q", got)
		}
		testenv.Must(t, "update", "free", "--memory", "48MiB")
		if got := r.node("free").Limits; got.Memory != 48<<20 || got.MemorySwap != 64<<20 {
			t.Errorf("limits: %+v", got)
		}
		for _, bad := range [][]string{{"--memory", "128MiB"}, {"--memory-reservation", "64MiB"}, {"--cpuset", "8000"}} {
			if got := testenv.Run(t, append([]string{"update", "free"}, bad...)...); got.Code == 0 {
				t.Errorf("update %v: %s", bad, got.Stdout)
			}
		}
		testenv.Must(t, "update", "free", "--memory-swap", "none", "--cpuset", "none")
		if got := r.node("free").Limits; got.Memory != 48<<20 || got.MemorySwap != 0 || got.CPUSet != "" {
			t.Errorf("limits: %+v", got)
		}

		// The file is what holds: up takes an update back.
		if got := testenv.Must(t, "up", file, "--name", r.name); !strings.Contains(got, "~ limits   free") {
			t.Errorf("up of the unchanged file: %s", got)
		}
		if got := r.node("eater").Limits; got.Memory != 256<<20 || got.CPU != 1 {
			t.Errorf("the file's limits are not back: %+v", got)
		}
		testenv.Must(t, "pause", "free")
		if got := testenv.Run(t, "update", "free", "--pids", "10"); got.Code != 9 || !strings.Contains(got.Stderr, "nsnet resume") {
			t.Errorf("update of a paused node: exit code %d, %s", got.Code, got.Stderr)
		}
		testenv.Must(t, "down", r.name)
		testenv.Must(t, "up", file, "--name", r.name)
		if got := r.node("eater").Limits; got.Memory != 256<<20 || got.CPU != 1 {
			t.Errorf("the file's limits are not back: %+v", got)
		}
	})
}

// What a list of limits no longer has is no limit any more, in the kernel, too.
func TestLimitsOfDisksThatGo(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		for _, d := range []string{"7:0", "7:1"} {
			if _, err := os.Stat("/sys/dev/block/" + d); err != nil {
				testenv.Miss(t, "needs loop devices")
			}
		}
		dir, name := t.TempDir(), testenv.LabName(t)
		file := func(io string) string {
			return writeFile(t, dir, "lab.yaml", "nodes: {a: {limits: {pids: 100, io: ["+io+"]}}}\n")
		}
		r := startAs(t, name, file(`{device: "7:0", read_bps: 1MiB, write_bps: 2MiB}, {device: "7:1", read_iops: 10}`))
		limits := func() string {
			t.Helper()
			var found []string
			for _, pattern := range []string{"/sys/fs/cgroup/blkio/nsnet/%s/a/blkio.throttle.*_device", "/sys/fs/cgroup/nsnet/%s/a/io.max", "/sys/fs/cgroup/nsnet.slice/nsnet-%s.scope/a/io.max"} {
				files, err := filepath.Glob(fmt.Sprintf(pattern, name))
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range files {
					b, err := os.ReadFile(f)
					if err != nil {
						t.Fatal(err)
					}
					for line := range strings.Lines(string(b)) {
						found = append(found, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "blkio.throttle."), "_device")+" "+strings.TrimSpace(line))
					}
				}
			}
			return strings.Join(found, "|")
		}
		if got := limits(); strings.Count(got, "7:") < 2 || !strings.Contains(got, "7:1") || !strings.Contains(got, "2097152") {
			t.Fatalf("limits: %s", got)
		}
		pid := r.node("a").PID
		testenv.Must(t, "up", file(`{device: "7:0", read_bps: 1MiB}`), "--name", name)
		if got := limits(); got != "read_bps 7:0 1048576" && got != "io.max 7:0 rbps=1048576 wbps=max riops=max wiops=max" {
			t.Errorf("afterwards: %s", got)
		}
		if now := r.node("a").PID; now != pid {
			t.Error("the node was restarted")
		}
	})
}
