package lab

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nsnet/nsnet/lab/index"
)

func TestRecordHas(t *testing.T) {
	t.Parallel()
	dir := inDir(t, "demo")
	has := func(name string, want bool) {
		t.Helper()
		if got, err := recordHas(dir, name); err != nil || got != want {
			t.Errorf("%s: got %v, error %v", name, got, err)
		}
	}
	if _, err := recordHas(dir, "n1"); !os.IsNotExist(err) {
		t.Errorf("without a record: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, labFile), []byte(`{"name":"demo","nodes":[{"name":"n1"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	has("n1", true)
	has("n2", false)
	if err := writeIndex(dir, index.New(true, []string{"n2"})); err != nil {
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
