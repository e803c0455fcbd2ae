package lab

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/topology"
)

// What is beneath a file's directory is opened in the directory that the file was read from, and not in one that has taken its place.
func TestOpensInItsOwnDirectory(t *testing.T) {
	t.Parallel()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	one, two := filepath.Join(base, "one"), filepath.Join(base, "two")
	for _, dir := range []string{one, two} {
		err := errors.Join(os.MkdirAll(filepath.Join(dir, "sub"), 0o755), os.WriteFile(filepath.Join(dir, "sub/who"), []byte(dir), 0o600),
			os.WriteFile(filepath.Join(dir, "lab.yaml"), []byte("name: t\nnodes: {n: {binds: ['./sub/who:/a', '.:/b', '/usr:/c']}}\n"), 0o600))
		if err != nil {
			t.Fatal(err)
		}
	}
	l, err := topology.Load(filepath.Join(one, "lab.yaml"), topology.Options{CheckFiles: true})
	if err != nil {
		t.Fatal(err)
	}
	files := filesOf(l)
	open := func(path string) error {
		f, err := files.open(path)
		if err == nil {
			f.Close()
		}
		return err
	}
	all := []string{filepath.Join(one, "sub/who"), one, "/usr"}
	for _, path := range all {
		if err := open(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := unix.Renameat2(unix.AT_FDCWD, one, unix.AT_FDCWD, two, unix.RENAME_EXCHANGE); err != nil {
		t.Fatal(err)
	}
	for i, path := range all {
		if err := open(path); errors.Is(err, errElsewhere) != (i < 2) {
			t.Errorf("exchanged: %s: %v", path, err)
		}
	}
}
