package lab

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nsnet/nsnet/topology"
)

// What Update has given a node counts in place of the topology's, until a change.
func TestUpdatedLimits(t *testing.T) {
	t.Parallel()
	dir := inDir(t, "x")
	text := `{"name":"x","nodes":[{"name":"a","limits":{"pids":7}},{"name":"b","limits":{"pids":8}},{"name":"a.limits"}]}`
	if err := os.WriteFile(filepath.Join(dir, labFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	pids := func() map[string]int64 {
		t.Helper()
		l, err := readLab(dir)
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]int64{}
		for i := range l.Nodes {
			m[l.Nodes[i].Name] = l.Nodes[i].Limits.Pids
		}
		return m
	}
	want := func(m map[string]int64) {
		t.Helper()
		if d := cmp.Diff(m, pids()); d != "" {
			t.Error(d)
		}
	}
	of := func(name string) int64 {
		t.Helper()
		l, err := limitsOf(dir, &topology.Node{Name: name, Limits: topology.Limits{Pids: 6}})
		if err != nil {
			t.Fatal(err)
		}
		return l.Pids
	}
	want(map[string]int64{"a": 7, "b": 8, "a.limits": 0})
	if got := of("a"); got != 6 {
		t.Errorf("as the init tells: %d", got)
	}
	if _, raw, err := readHad(dir); err != nil || string(raw[0]) != text {
		t.Errorf("what it was told to be: %s, error %v", raw, err)
	}
	for node, n := range map[string]int64{"a": 70, "a.limits": 90, "gone": 1} {
		if err := writeLimits(dir, node, topology.Limits{Pids: n}); err != nil {
			t.Fatal(err)
		}
	}
	want(map[string]int64{"a": 70, "b": 8, "a.limits": 90})
	if got := of("a"); got != 70 {
		t.Errorf("after an update: %d", got)
	}
	had, raw, err := readHad(dir)
	if err != nil || had[0].Nodes[0].Limits.Pids != 70 || string(raw[0]) == text {
		t.Errorf("what it was told to be, and by update: %s, error %v", raw, err)
	}
	if err := dropLimits(dir); err != nil {
		t.Fatal(err)
	}
	want(map[string]int64{"a": 7, "b": 8, "a.limits": 0})
	if err := os.WriteFile(filepath.Join(dir, "b"+limitsSuffix), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readLab(dir); err == nil {
		t.Error("a damaged file is no error")
	}
}
