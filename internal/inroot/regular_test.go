package inroot

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What is no regular file is not opened, nobody waits for it, and a link leads to what is in the tree.
func TestRegular(t *testing.T) {
	t.Parallel()
	root, dir := tree(t)
	at := func(name string) string { return filepath.Join(dir, "root", name) }
	if err := errors.Join(unix.Mkfifo(at("pipe"), 0o600), unix.Mknod(at("socket"), unix.S_IFSOCK|0o600, 0),
		os.Symlink("loop", at("loop")), os.Symlink("pipe", at("link"))); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{"pipe": ErrIrregular, "socket": ErrIrregular, "etc": ErrIrregular, "link": ErrIrregular,
		"loop": unix.ELOOP, "none": unix.ENOENT, "etc/none/x": unix.ENOENT, "up/x": unix.ENOTDIR} {
		for _, flags := range []int{unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR} {
			if f, _, err := Regular(root, path, flags, 0); !errors.Is(err, want) {
				t.Errorf("%s: %v, %v", path, f, err)
			}
		}
	}
	f, st, err := Regular(root, "etc/resolv.conf", unix.O_RDWR, unix.RESOLVE_NO_XDEV)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || string(b) != "inside" || st.Size != int64(len(b)) {
		t.Errorf("%q, %v", b, err)
	}
}
