package lab

import (
	"os"
	"path/filepath"
	"testing"
)

// A file is known by its path and its owner, and text of no file by nothing.
func TestOrigin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "lab.yaml"), filepath.Join(dir, "link.yaml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	of := func(owner uint32) *uint32 { return &owner }
	for _, c := range []struct {
		was, now origin
		want     bool
	}{
		{origin{path, of(0)}, origin{path, of(0)}, true},
		{origin{path, of(0)}, origin{path, of(7)}, false},
		{origin{path, of(0)}, origin{path, nil}, false},
		{origin{path, of(0)}, origin{dir + "/other.yaml", of(0)}, false},
		{origin{link, of(0)}, origin{path, of(0)}, false},
		{origin{link, nil}, origin{path, of(7)}, true}, // written before owners were
		{origin{dir + "/other.yaml", nil}, origin{path, of(7)}, false},
		{origin{}, origin{}, true},
		{origin{}, origin{path, of(0)}, false},
		{origin{path, of(0)}, origin{}, false},
		{origin{path, nil}, origin{}, false},
	} {
		if got := c.was.is(c.now); got != c.want {
			t.Errorf("%v is %v: %v", c.was, c.now, got)
		}
	}
}
