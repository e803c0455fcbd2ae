package rules

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nsnet/nsnet/internal/attacks"
)

// docs/security.md has tests for each attack, which exist where it says.
func TestAttacksHaveTests(t *testing.T) {
	const many = 53 // at least: rows come, and none goes unseen
	rows, err := attacks.Read(filepath.Join(root, "docs/security.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if len(row.Tests) == 0 {
			t.Errorf("no test of %q", row.What)
		}
		for _, n := range row.Tests {
			files, err := filepath.Glob(filepath.Join(root, n.Dir, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				found = found || bytes.Contains(b, []byte("\nfunc "+n.Name+"(t *testing.T)"))
			}
			if !found {
				t.Errorf("%s has no test %s", n.Dir, n.Name)
			}
		}
	}
	if len(rows) < many {
		t.Errorf("%d attacks, fewer than %d", len(rows), many)
	}
}

// Two builds of the same source, in different directories, are the same file.
func TestBuildIsReproducible(t *testing.T) {
	t.Parallel()
	var built [2][]byte
	for i := range built {
		path := filepath.Join(t.TempDir(), "nsnet")
		cmd := exec.Command("sh", "scripts/build.sh", path)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		built[i] = b
	}
	if !bytes.Equal(built[0], built[1]) {
		t.Error("two builds differ")
	}
}
