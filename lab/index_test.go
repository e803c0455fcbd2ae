package lab

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nsnet/nsnet/topology"
)

func TestIndex(t *testing.T) {
	t.Parallel()
	nodes := []topology.Node{{Name: "n1"}, {Name: "n10"}, {Name: "a.b-c"}}
	for _, limits := range []bool{false, true} {
		x, ok := parseIndex(newIndex(limits, nodes).bytes())
		if !ok || x.limits != limits {
			t.Fatalf("limits %v: got %+v, %v", limits, x, ok)
		}
		for name, want := range map[string]bool{
			"n1": true, "n10": true, "a.b-c": true,
			"": false, "n": false, "1": false, "n1\nn10": false, "\n": false, "a.b": false, indexPlain: false, indexLimits: false,
		} {
			if x.has(name) != want {
				t.Errorf("has %q is not %v", name, want)
			}
		}
	}
	if x, ok := parseIndex(newIndex(false, nil).bytes()); !ok || x.has("n1") || x.has("") {
		t.Errorf("of no nodes: %+v, %v", x, ok)
	}
}

// What another nsnet has written is not guessed at: the record is read then.
func TestIndexUnknown(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n", "n1\n", "2 plain\nn1\n", indexPlain, "1 plain \nn1\n"} {
		if x, ok := parseIndex([]byte(text)); ok {
			t.Errorf("%q is taken for %+v", text, x)
		}
	}
}

func TestRecordHas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	has := func(name string, want bool) {
		t.Helper()
		if got, err := recordHas(dir, name); err != nil || got != want {
			t.Errorf("%s: got %v, error %v", name, got, err)
		}
	}
	if _, err := recordHas(dir, "n1"); !os.IsNotExist(err) {
		t.Errorf("without a record: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, labFile), []byte(`{"nodes":[{"name":"n1"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	has("n1", true)
	has("n2", false)
	if err := writeIndex(dir, newIndex(true, []topology.Node{{Name: "n2"}})); err != nil {
		t.Fatal(err)
	}
	has("n2", true)
	has("n1", false)
	if !hasLimits(dir) {
		t.Error("no limits")
	}
	for range 2 { // once more without one
		if err := dropIndex(dir); err != nil {
			t.Fatal(err)
		}
	}
	has("n1", true)
	if hasLimits(dir) {
		t.Error("limits without a record")
	}
}
