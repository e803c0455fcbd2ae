package inroot

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// tree is a directory with a link like systemd's resolv.conf, and a file outside of it.
func tree(t *testing.T) (root int, dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, d := range []string{"root/etc", "root/run/systemd"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{"root/run/systemd/resolv.conf": "inside", "outside": "outside", "root/outside": "its own"} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"etc/resolv.conf": "../run/systemd/resolv.conf", "up": "../../../outside", "absolute": "/outside", "magic": "/proc/self/root"} {
		if err := os.Symlink(to, filepath.Join(dir, "root", link)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := unix.Open(filepath.Join(dir, "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(root) })
	return root, dir
}

func TestOpen(t *testing.T) {
	t.Parallel()
	root, _ := tree(t)
	for path, want := range map[string]string{"etc/resolv.conf": "inside", "up": "its own", "absolute": "its own", "/outside": "its own"} {
		fd, err := Open(root, path, unix.O_RDONLY, 0)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: it is not closed on exec: %v", path, err)
		}
		f := os.NewFile(uintptr(fd), path)
		b := make([]byte, 16)
		n, err := f.Read(b)
		if string(b[:n]) != want || err != nil {
			t.Errorf("%s: %q, %v", path, b[:n], err)
		}
		f.Close()
	}
	for path, want := range map[string]error{"none": unix.ENOENT, "magic": unix.ENOENT} {
		if fd, err := Open(root, path, unix.O_PATH, 0); !errors.Is(err, want) {
			t.Errorf("%s: descriptor %d, %v", path, fd, err)
		}
	}
	if _, err := Open(root, "etc/resolv.conf", unix.O_RDONLY, unix.RESOLVE_NO_SYMLINKS); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a link where none may be: %v", err)
	}
}

func TestOpenReal(t *testing.T) {
	t.Parallel()
	_, dir := tree(t)
	if err := os.Symlink("root", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		"root/etc": nil, "outside": nil, "none": unix.ENOENT, "outside/x": unix.ENOTDIR,
		"link": unix.ELOOP, "link/etc": unix.ELOOP, "root/magic": unix.ELOOP, "root/etc/resolv.conf": unix.ELOOP,
	} {
		fd, err := OpenReal(filepath.Join(dir, path), unix.O_PATH)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
		if err == nil {
			_ = unix.Close(fd)
		}
	}
}

// Files that are renamed elsewhere do not matter.
func TestOpenWhileOthersRename(t *testing.T) {
	t.Parallel()
	root, dir := tree(t)
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		_ = os.Mkdir(a, 0o700)
		for !stop.Load() {
			_ = os.Rename(a, b)
			_ = os.Rename(b, a)
		}
	}()
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
	disturbed := 0
	const enough, most = 20, 2_000_000
	for i := 0; i < most && disturbed < enough; i++ {
		fd, err := unix.Openat2(root, "etc/resolv.conf", &how)
		if err == nil {
			_ = unix.Close(fd)
		} else {
			disturbed++
		}
		if fd, err = Open(root, "etc/resolv.conf", unix.O_RDONLY, 0); err != nil {
			t.Fatalf("after %d times: %v", i, err)
		}
		_ = unix.Close(fd)
	}
	stop.Store(true)
	<-done
	t.Logf("the kernel was disturbed %d times", disturbed)
}
