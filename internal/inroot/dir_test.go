package inroot

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A path leads through root's links and through nobody else's.
func TestDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.MkdirAll(at("a/b"), 0o755), os.WriteFile(at("file"), nil, 0o600), unix.Mkfifo(at("pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"own": "a", "absolute": at("a"), "up": "a/b/..", "foreign": "a", "loop": "loop", "chain": "own/../own", "tofile": "file"} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	foreign := error(nil)
	if os.Geteuid() == 0 {
		if err := os.Lchown(at("foreign"), 1000, 1000); err != nil {
			t.Fatal(err)
		}
		foreign = ErrForeignLink
	}
	for path, want := range map[string]error{"a": nil, "own": nil, "absolute": nil, "up": nil, "chain/b": nil, "own/b": nil, "foreign": foreign, "foreign/b": foreign, "a/../foreign/b": foreign,
		"loop": unix.ELOOP, "loop/b": unix.ELOOP, "file": unix.ENOTDIR, "file/x": unix.ENOTDIR, "tofile": unix.ENOTDIR, "pipe": unix.ENOTDIR, "none": unix.ENOENT, "a/none/b": unix.ENOENT} {
		fd, err := Dir(at(path))
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
		if err != nil {
			continue
		}
		var is, should unix.Stat_t
		if err := errors.Join(unix.Fstat(fd, &is), unix.Stat(at(path), &should)); err != nil || is.Ino != should.Ino {
			t.Errorf("%s: another directory: %v", path, err)
		}
		_ = unix.Close(fd)
	}
}

// Path opens what is no directory, too, by the same links.
func TestPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.Mkdir(at("a"), 0o755), os.WriteFile(at("a/file"), nil, 0o600), unix.Mkfifo(at("pipe"), 0o600),
		os.Symlink("a/file", at("own")), os.Symlink("own", at("chain")), os.Symlink("a/file", at("foreign")), os.Symlink("none", at("dangling"))); err != nil {
		t.Fatal(err)
	}
	foreign := error(nil)
	if os.Geteuid() == 0 {
		if err := os.Lchown(at("foreign"), 1000, 1000); err != nil {
			t.Fatal(err)
		}
		foreign = ErrForeignLink
	}
	for path, want := range map[string]error{"a": nil, "a/file": nil, "own": nil, "chain": nil, "pipe": nil, "foreign": foreign,
		"dangling": unix.ENOENT, "own/x": unix.ENOTDIR, "a/file/x": unix.ENOTDIR} {
		fd, err := Path(at(path))
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
		if err != nil {
			continue
		}
		var is, should unix.Stat_t
		if err := errors.Join(unix.Fstat(fd, &is), unix.Stat(at(path), &should)); err != nil || is.Ino != should.Ino {
			t.Errorf("%s: something else: %v", path, err)
		}
		_ = unix.Close(fd)
	}
}
