package lab

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/overlayfs"
)

// What drivers do in a union's own writable layer.

// mountOver makes a union whose own layer is a directory of the test's, and lets go of it.
func mountOver(t *testing.T, d overlayfs.Driver, own string, layers ...string) error {
	t.Helper()
	base := t.TempDir()
	m, err := newMounter(base)
	must(t, err)
	defer m.close()
	var branches []overlayfs.Branch
	for _, l := range layers {
		branches = append(branches, overlayfs.Branch{Path: l})
	}
	return m.do(func() error {
		s := overlayfs.Spec{Branches: branches, Own: own, Scratch: base + "/scratch", Userns: -1}
		if err := os.Mkdir(s.Scratch, 0o755); err != nil {
			return err
		}
		fd, err := d.Mount(&s)
		if err == nil {
			err = unix.Close(fd)
		}
		return err
	})
}

func stat(t *testing.T, path string) (st unix.Stat_t) {
	t.Helper()
	must(t, unix.Lstat(path, &st))
	return st
}

// A copy is what was copied: content, holes, owner, mode, times, attributes of users, all names of one file, and special files.
func TestCopyIsWhatItWas(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		low, own := planted(t, "plain=text", "sub/", "sparse="), t.TempDir()
		old := time.Unix(1e9, 5e6)
		must(t, os.Link(low+"/plain", low+"/sub/other"))
		must(t, os.Chown(low+"/plain", 5, 6))
		must(t, unix.Chmod(low+"/plain", 0o4750))
		must(t, os.Symlink("plain", low+"/link"))
		must(t, os.Lchown(low+"/link", 7, 8))
		must(t, unix.Mkfifo(low+"/pipe", 0o600))
		must(t, unix.Chmod(low+"/pipe", 0o1622))
		must(t, unix.Mknod(low+"/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
		must(t, os.Chown(low+"/null", 9, 10))
		must(t, unix.Chmod(low+"/null", 0o604))
		sparse, err := os.OpenFile(low+"/sparse", os.O_RDWR, 0)
		must(t, err)
		_, err = sparse.WriteAt([]byte("x"), 4<<20)
		must(t, errors.Join(err, sparse.Truncate(8<<20), sparse.Close()))
		hasAttributes := !errors.Is(unix.Setxattr(low+"/plain", "user.nsnet", []byte("v"), 0), unix.EOPNOTSUPP)
		must(t, os.Chtimes(low+"/plain", time.Now(), old))
		must(t, os.Chtimes(low+"/sub", time.Now(), old))

		must(t, mountOver(t, overlayfs.Copy{}, own, planted(t, "top=1"), low))
		up := own + "/upper"
		for _, name := range []string{"plain", "sub", "sub/other", "link", "pipe", "null", "sparse"} {
			a, b := stat(t, filepath.Join(low, name)), stat(t, filepath.Join(up, name))
			if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Rdev != b.Rdev || a.Size != b.Size && name != "sub" {
				t.Errorf("%s was %+v and is %+v", name, a, b)
			}
		}
		for _, name := range []string{"plain", "sub"} {
			if a, b := stat(t, filepath.Join(low, name)), stat(t, filepath.Join(up, name)); a.Mtim != b.Mtim {
				t.Errorf("%s was of %v and is of %v", name, a.Mtim, b.Mtim)
			}
		}
		if a, b := stat(t, up+"/plain"), stat(t, up+"/sub/other"); a.Ino != b.Ino || a.Nlink != 2 {
			t.Errorf("two names of one file are of the inodes %d and %d", a.Ino, b.Ino)
		}
		if target, err := os.Readlink(up + "/link"); err != nil || target != "plain" {
			t.Errorf("the link leads to %q, %v", target, err)
		}
		if st := stat(t, up+"/sparse"); st.Blocks*512 > 1<<20 || content(t, up+"/sparse") != content(t, low+"/sparse") {
			t.Errorf("of 8 MiB that are one hole but for a byte, %d bytes are on disk", st.Blocks*512)
		}
		value := make([]byte, 8)
		if n, err := unix.Getxattr(up+"/plain", "user.nsnet", value); hasAttributes && (err != nil || string(value[:n]) != "v") {
			t.Errorf("its attribute: %q, %v", value, err)
		}
	})
}

// A copy is made once, and what is kept of it stays; one that was killed is made anew.
func TestCopyIsMadeOnce(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		low, own := planted(t, "a=1", "d/b=2"), t.TempDir()
		must(t, mountOver(t, overlayfs.Copy{}, own, low))
		must(t, os.WriteFile(own+"/upper/a", []byte("mine"), 0o644))
		must(t, os.RemoveAll(own+"/upper/d"))
		must(t, mountOver(t, overlayfs.Copy{}, own, low))
		if got := content(t, own+"/upper/a") + content(t, own+"/upper/d/b"); got != "mine(no such file or directory)" {
			t.Errorf("after a second mount: %q", got)
		}

		must(t, os.Remove(own+"/copied")) // which is written last
		must(t, os.MkdirAll(own+"/upper/half/way", 0o755))
		must(t, mountOver(t, overlayfs.Copy{}, own, low))
		if got := content(t, own+"/upper/a") + content(t, own+"/upper/d/b"); got != "12" || len(picture(t, own+"/upper")) != 4 {
			t.Errorf("after one that was killed: %q, %v", got, picture(t, own+"/upper"))
		}
	})
}

// A writable layer that cannot be one is an error that says why, and not a union that cannot be written.
func TestWritableLayerThatCannotBe(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		small := t.TempDir()
		must(t, unix.Mount("tmpfs", small, "tmpfs", 0, "size=1m"))
		t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
		err := mountOver(t, overlayfs.Copy{}, small, planted(t, "big="+strings.Repeat("x", 2<<20)))
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "writable_size") {
			t.Errorf("a copy without room: %v", err)
		}
		// Deeper than what overlayfs clears away of an earlier mount's.
		own := planted(t, filepath.Join("work", "work", "a", "b", "c", "d")+"/")
		if err := mountOver(t, overlayfs.Overlay{}, own, planted(t, "a=1")); err == nil || !strings.Contains(err.Error(), "cannot hold a writable layer") {
			t.Errorf("a working directory that is of no use: %v", err)
		}
	})
}
