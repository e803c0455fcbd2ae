package cgroups

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nsnet/nsnet/topology"
)

// A limit that is taken back is none: the group's files say what those of a group say that never had one.
func TestLift(t *testing.T) {
	t.Parallel()
	for key, l := range map[string]topology.Limits{
		"cpu": {CPU: 0.5}, "cpu_weight": {CPUWeight: 50}, "memory": {Memory: 64 << 20}, "memory_reservation": {MemoryReservation: 32 << 20}, "pids": {Pids: 50},
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			h, lab := contract(t, l)
			dir := create(t, h, lab, "n", l).dirs[0]
			fresh := filepath.Join(filepath.Dir(dir), "fresh")
			if err := os.Mkdir(fresh, 0o755); err != nil {
				t.Fatal(err)
			}
			if limitFiles(t, dir) == limitFiles(t, fresh) {
				t.Fatalf("%s is not set:\n%s", key, limitFiles(t, dir))
			}
			cmd, _ := shell(t, ":")
			if _, err := h.Update(t.Context(), lab, Node{"n", cmd.Process.Pid}, topology.Limits{}, []string{key}); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(limitFiles(t, fresh), limitFiles(t, dir)); d != "" {
				t.Error(d)
			}
		})
	}
}

// limitFiles are a group's limits, of whichever version.
func limitFiles(t *testing.T, dir string) string {
	t.Helper()
	var text strings.Builder
	for _, f := range []string{
		"cpu.cfs_quota_us", "cpu.shares", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes",
		"cpu.max", "cpu.weight", "memory.max", "memory.swap.max", "memory.high", "memory.low", "pids.max",
	} {
		if b, err := os.ReadFile(filepath.Join(dir, f)); err == nil {
			text.WriteString(f + " " + string(b))
		} else if !gone(err) {
			t.Fatal(err)
		}
	}
	return text.String()
}
