package origin

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Nothing is waited for but what is open already, and nothing is opened that is no file.
func TestIrregular(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, link := range [][2]string{{"pipe", "link"}, {"loop", "loop"}} {
		if err := os.Symlink(link[0], filepath.Join(dir, link[1])); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		pipe: "is a named pipe and not a file; its text can be given as standard input", filepath.Join(dir, "link"): "is a named pipe", "/dev/null": "is a device and not a file",
		dir: "is a directory; name the file in it", "/proc/self/cwd": "is a directory", filepath.Join(dir, "loop"): "too many levels of symbolic links", filepath.Join(dir, "none"): "no such file",
	} {
		if f, err := Open(name); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v, want %q", name, f, err, want)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := Open(fmt.Sprint("/proc/self/fd/", r.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	go func() {
		_, _ = w.WriteString("text")
		w.Close()
	}()
	if got, err := io.ReadAll(f); string(got) != "text" || err != nil || f.Path != "" || f.Info != nil {
		t.Errorf("%q of %q, %v", got, f.Path, err)
	}
}

// Whoever exchanges directories while a file is opened has one or the other, with its own directory.
func TestExchanged(t *testing.T) {
	t.Parallel()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	one, two := filepath.Join(base, "one"), filepath.Join(base, "two")
	for _, dir := range []string{one, two} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "lab.yaml"), []byte(filepath.Base(dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dirs := map[string]os.FileInfo{}
	for _, dir := range []string{one, two} {
		if dirs[filepath.Base(dir)], err = os.Stat(dir); err != nil {
			t.Fatal(err)
		}
	}
	end, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-end:
				ended <- nil
				return
			default:
			}
			if err := unix.Renameat2(unix.AT_FDCWD, one, unix.AT_FDCWD, two, unix.RENAME_EXCHANGE); err != nil {
				ended <- err
				return
			}
		}
	}()
	for range 3000 {
		f, err := Open(filepath.Join(one, "lab.yaml"))
		if err != nil {
			if !strings.Contains(err.Error(), "it was moved or replaced at that moment") {
				t.Error(err)
			}
			continue
		}
		text, err := io.ReadAll(f)
		if err != nil || !os.SameFile(f.Dir, dirs[string(text)]) {
			t.Errorf("the file of %s in another directory: %v", text, err)
		}
		f.Close()
	}
	close(end)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// A file that an editor replaces is the old one or the new one.
func TestReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lab.yaml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	old := &File{File: f}
	for _, then := range []func() error{func() error { return nil }, func() error { return os.WriteFile(path, nil, 0o600) }, func() error { return os.WriteFile(path+" (deleted)", nil, 0o600) }} {
		if err := then(); err != nil {
			t.Fatal(err)
		}
		if err := old.find(int(f.Fd())); err == nil {
			t.Errorf("a file that is gone is at %s", old.Path)
		}
	}
}
