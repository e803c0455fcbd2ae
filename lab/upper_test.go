package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/lockfile"
	"github.com/nsnet/nsnet/internal/testenv"
)

// workOf is the work directory of a layer in a directory of the test's.
func workOf(t *testing.T, layer string) (workDir, int) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	st := stat(t, dir)
	w := workDir{Parent: dir, Dev: st.Dev, Ino: st.Ino, Layer: layer}
	parent, err := w.openParent()
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(parent) })
	return w, parent
}

func TestNamesOfWorkDirectories(t *testing.T) {
	t.Parallel()
	for layer, want := range map[string]string{"fruits": ".fruits.nsnet", strings.Repeat("l", 255): "." + unionTree(strings.Repeat("l", 255)) + ".nsnet"} {
		if got := (workDir{Layer: layer}).name(); got != want || len(got) > 255 {
			t.Errorf("%s: %s", layer, got)
		}
	}
}

// Who takes a work directory has it alone; what a killed one has left is taken over, and removed only by who can have the lock.
func TestTakeWorkDirectory(t *testing.T) {
	t.Parallel()
	testenv.Root(t)
	w, parent := workOf(t, "fruits")
	u := upperLayer{workDir: w}
	first, err := u.take(parent, "one/n: /u")
	must(t, err)
	if _, err := u.take(parent, "two/n: /u"); err == nil || !strings.Contains(err.Error(), "it is written by one/n: /u") {
		t.Errorf("a second one takes it: %v", err)
	}
	if held, err := removeWork([]workDir{w}); err != nil || len(held) != 1 {
		t.Errorf("removed while it is held: %v, %v", held, err)
	}
	must(t, os.MkdirAll(w.path()+"/work/work/#1", 0))
	must(t, first.Close())
	if who, err := w.heldBy(); who != "" || err != nil {
		t.Errorf("nobody holds it, and %q, %v", who, err)
	}
	second, err := u.take(parent, "two/n: /u")
	must(t, err)
	if who, err := w.heldBy(); who != "two/n: /u" || err != nil {
		t.Errorf("it is held by %q, %v", who, err)
	}
	if names, err := os.ReadDir(w.path() + "/work"); err != nil || len(names) != 0 {
		t.Errorf("what was taken over has %v, %v", names, err)
	}
	must(t, second.Close())
	for range 2 { // the second time there is nothing
		if held, err := removeWork([]workDir{w}); err != nil || len(held) != 0 {
			t.Errorf("%v, %v", held, err)
		}
	}
	if _, err := os.Lstat(w.path()); !os.IsNotExist(err) {
		t.Errorf("it is left: %v", err)
	}
	other := w
	other.Ino++
	if held, err := removeWork([]workDir{other}); err != nil || len(held) != 0 {
		t.Errorf("of a directory that is another one now: %v, %v", held, err)
	}
}

// What somebody else has put there is neither taken, nor removed, nor followed, and does not reach the terminal.
func TestForeignWorkDirectories(t *testing.T) {
	t.Parallel()
	testenv.Root(t)
	for name, put := range map[string]func(path string) error{
		"a file":          func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a link":          func(path string) error { return os.Symlink(t.TempDir(), path) },
		"another mode":    func(path string) error { return os.Mkdir(path, 0o755) },
		"something in it": func(path string) error { return os.MkdirAll(path+"/mine", 0o700) },
		"another owner": func(path string) error {
			if err := os.Mkdir(path, 0o700); err != nil {
				return err
			}
			return os.Chown(path, 7, 7)
		},
	} {
		w, parent := workOf(t, "fruits")
		must(t, put(w.path()))
		if f, err := (upperLayer{workDir: w}).take(parent, "x"); err == nil || !strings.Contains(err.Error(), "not nsnet's") {
			t.Errorf("%s is taken: %v, %v", name, f, err)
		}
		if held, err := removeWork([]workDir{w}); err != nil || len(held) != 0 {
			t.Errorf("%s: %v, %v", name, held, err)
		}
		if _, err := os.Lstat(w.path()); err != nil {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
	w, parent := workOf(t, "fruits")
	must(t, os.Mkdir(w.path(), 0o700))
	must(t, os.WriteFile(w.path()+"/holder", []byte("a\x1b[2Jb\nmore"), 0o600))
	f, err := w.open(parent)
	must(t, err)
	defer f.Close()
	must(t, lockfile.Try(f, lockfile.Exclusive))
	if who, err := w.heldBy(); who != "a?[2Jb" || err != nil {
		t.Errorf("it is held by %q, %v", who, err)
	}
	must(t, os.Remove(w.path()+"/holder"))
	must(t, unix.Mkfifo(w.path()+"/holder", 0o600))
	if who, err := w.heldBy(); who != "another lab" || err != nil {
		t.Errorf("it is held by %q, %v", who, err)
	}
}
