package e2e

import (
	"path/filepath"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// copyOfUnion is the example in a directory of the test's: its nodes write into what is beside it.
func copyOfUnion(t *testing.T) string {
	t.Helper()
	testenv.Need(t, "mergerfs")
	dir := t.TempDir()
	testenv.MustCommand(t, "cp", "-r", filepath.Join(examplesDir, "union"), filepath.Join(examplesDir, "union.yaml"), dir)
	return filepath.Join(dir, "union.yaml")
}

// Both experiments of aufs.
func checkUnion(t *testing.T, r run) {
	dir := filepath.Join(filepath.Dir(r.status().File), "union")
	for _, n := range []string{"classic", "both"} {
		if got := r.sh(n, "cd /mnt/union; ls | tr '\\n' ' '; cat tomato; echo mine >carrots; echo mine >tomato; echo mine >new"); got != "apple carrots tomato I am a fruit" {
			t.Errorf("%s: %q", n, got)
		}
		has(t, filepath.Join(dir, n, "fruits/tomato"), "mine\n")
		has(t, filepath.Join(dir, n, "fruits/new"), "mine\n")
		has(t, filepath.Join(dir, n, "vegetables/tomato"), "I am a vegetable\n")
	}
	has(t, filepath.Join(dir, "classic/fruits/carrots"), "mine\n")
	has(t, filepath.Join(dir, "classic/vegetables/carrots"), "I am a carrot\n")
	has(t, filepath.Join(dir, "both/vegetables/carrots"), "mine\n")
	if got := listed(t, filepath.Join(dir, "both/fruits")); got != "apple new tomato" {
		t.Errorf("fruits have %s", got)
	}
}
