package rules

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// attacks is how many rows docs/security.md has of attacks.
const attacks = 35

// docs/security.md has tests for each attack, which exist where it says.
func TestAttacksHaveTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/security.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Attacks and their tests\n")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := 0
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| attack ") {
			continue
		}
		rows++
		named := regexp.MustCompile("`([a-z/0-9]+)\\.(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(line, -1)
		if len(named) == 0 {
			t.Errorf("no test in %q", line)
		}
		for _, n := range named {
			files, err := filepath.Glob(filepath.Join(root, n[1], "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				found = found || bytes.Contains(b, []byte("\nfunc "+n[2]+"(t *testing.T)"))
			}
			if !found {
				t.Errorf("%s has no test %s", n[1], n[2])
			}
		}
	}
	if rows != attacks {
		t.Errorf("%d attacks, not %d", rows, attacks)
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
