package overlayfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// layered makes an upper and a lower layer and returns them, open.
func layered(t *testing.T, upper, lower fileTree) (up int, low *Merged, upperDir string) {
	t.Helper()
	a, b := t.TempDir(), t.TempDir()
	upper.make(t, a)
	lower.make(t, b)
	up, err := unix.Open(a, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(up) })
	low, err = OpenMerged(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(low.Close)
	return up, low, a
}

func lines(changes []Change) []string {
	var all []string
	for _, c := range changes {
		all = append(all, string(c.Kind)+" "+c.Path)
	}
	return all
}

// open returns a descriptor of a new directory.
func newDir(t *testing.T) (int, string) {
	t.Helper()
	dir := t.TempDir()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd, dir
}

// A hostile node's upper layer: links out of it, names of control characters, what is not what it was.
func TestDiffAndWriteLayer(t *testing.T) {
	testenv.Root(t)
	outside := t.TempDir()
	if err := os.WriteFile(outside+"/secret", []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	weird := "w\n\x1b\xff:,\\"
	up, low, upper := layered(t, fileTree{
		{"new/", 0o755}, {"new/file", 0o644}, {"new/deep/", 0o700},
		{"same/", 0o755}, {"same/changed", 0o600},
		{"untouched/", 0o755},
		{"mode/", 0o700},
		{"closed/", 0o755}, {"closed/mine", 0o644},
		{"out -> " + outside, 0},
		{"dir -> " + outside, 0},
		{weird + "/", 0o755}, {weird + "/" + weird, 0o644},
		{"etc/", 0o755}, {"etc/hostname", 0o644}, {"etc/hosts", 0o644},
		{"mnt/", 0o755}, {"mnt/a/", 0o755},
	}, fileTree{
		{"same/", 0o755}, {"same/changed", 0o644}, {"same/gone", 0o644},
		{"untouched/", 0o755}, {"untouched/x", 0o644},
		{"mode/", 0o755},
		{"closed/", 0o755}, {"closed/hidden/", 0o755}, {"closed/hidden/y", 0o644}, {"closed/mine", 0o644},
		{"dir/", 0o755}, {"dir/below", 0o644},
		{"etc/", 0o755},
	})
	for _, name := range []string{"same/gone", "same/never"} {
		if err := unix.Mknod(filepath.Join(upper, name), unix.S_IFCHR, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Setxattr(upper+"/closed", string(TrustedMark), []byte("y"), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Link(upper+"/new/file", upper+"/new/link"), unix.Mkfifo(upper+"/new/pipe", 0o600), os.Chown(upper+"/new/file", 1033, 1034), unix.Chmod(upper+"/new/file", 0o4755)); err != nil {
		t.Fatal(err)
	}
	hasAttributes := !errors.Is(unix.Setxattr(upper+"/new/file", "user.nsnet", []byte("v"), 0), unix.EOPNOTSUPP)
	if f, err := os.Create(upper + "/new/sparse"); err != nil || f.Truncate(1<<50) != nil {
		t.Log("no sparse file of a petabyte here") // ext4's limit is 16 TiB
	} else {
		f.Close()
	}
	o := DiffOptions{Own: map[string][]byte{"etc/hostname": []byte("etc/hostname"), "etc/hosts": []byte("other")}, Mounts: []string{"mnt/a"}}
	changes, err := Diff(up, low, o)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"C closed", "D closed/hidden", "C closed/mine", "C dir", "C etc", "A etc/hosts", "C mode",
		"A new", "A new/deep", "A new/file", "A new/link", "A new/pipe", "A new/sparse", "A out", "C same", "C same/changed", "D same/gone",
		"A " + weird, "A " + weird + "/" + weird}
	got := slices.DeleteFunc(lines(changes), func(l string) bool { return l == "A new/sparse" })
	if diff := cmp.Diff(slices.DeleteFunc(want, func(l string) bool { return l == "A new/sparse" }), got); diff != "" {
		t.Error(diff)
	}
	to, dir := newDir(t)
	o.Base = 1000
	if err := WriteLayer(up, to, changes, o); err != nil {
		t.Fatal(err)
	}
	if got := describe(dir + "/new/file"); got != "file 4755 33:34" {
		t.Errorf("a file of the layer is %s", got)
	}
	var a, b unix.Stat_t
	if err := errors.Join(unix.Stat(dir+"/new/file", &a), unix.Stat(dir+"/new/link", &b)); err != nil || a.Ino != b.Ino {
		t.Errorf("hard links: %v, %d, %d", err, a.Ino, b.Ino)
	}
	if target, err := os.Readlink(dir + "/out"); err != nil || target != outside {
		t.Errorf("the link out is %q, %v", target, err)
	}
	for path, is := range map[string]bool{"same/gone": true, "same/never": false, "closed/hidden": false, "etc/hostname": false, "mnt": false, "untouched": false} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, path), &st); (err == nil && IsWhiteout(&st)) != is || !is && err == nil {
			t.Errorf("%s: %v, mode %o", path, err, st.Mode)
		}
	}
	mark := make([]byte, 4)
	if _, err := unix.Getxattr(dir+"/closed", string(TrustedMark), mark); err != nil || mark[0] != 'y' {
		t.Errorf("opaque: %v", err)
	}
	if b, err := os.ReadFile(outside + "/secret"); err != nil || string(b) != "secret" {
		t.Errorf("outside has changed: %q, %v", b, err)
	}
	if list, _ := os.ReadDir(outside); len(list) != 1 {
		t.Errorf("outside has %v", list)
	}
	value := make([]byte, 4)
	if n, err := unix.Getxattr(dir+"/new/file", "user.nsnet", value); hasAttributes && (err != nil || string(value[:n]) != "v") {
		t.Errorf("its attribute: %q, %v", value, err)
	}
	archiveHas(t, dir, hasAttributes)
}

// archiveHas looks at the archive of the layer that TestDiffAndWriteLayer makes.
func archiveHas(t *testing.T, dir string, attributes bool) {
	t.Helper()
	if err := os.RemoveAll(dir + "/new/sparse"); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var b bytes.Buffer
	if err := WriteTar(fd, &b); err != nil {
		t.Fatal(err)
	}
	got := map[string]byte{}
	var attribute string
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = h.Typeflag
		if h.Name == "new/file" {
			attribute = h.PAXRecords["SCHILY.xattr.user.nsnet"]
		}
	}
	if attributes && attribute != "v" {
		t.Errorf("the attribute of new/file is %q in the archive", attribute)
	}
	for name, kind := range map[string]byte{"same/.wh.gone": tar.TypeReg, "closed/.wh..wh..opq": tar.TypeReg, "new/link": tar.TypeLink, "new/pipe": tar.TypeFifo, "out": tar.TypeSymlink, "new/": tar.TypeDir} {
		if got[name] != kind {
			t.Errorf("%s is %q in the archive, not %q", name, got[name], kind)
		}
	}
	if err := os.WriteFile(dir+"/.wh.x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteTar(fd, io.Discard); err == nil || !strings.Contains(err.Error(), ".wh.x") {
		t.Errorf("a file that would be a whiteout: %v", err)
	}
}

// What one lower layer hides of another is not below.
func TestDiffOverWhiteouts(t *testing.T) {
	testenv.Root(t)
	up, low, _ := layered(t, fileTree{{"hidden", 0o644}, {"seen", 0o644}, {"closed/", 0o755}, {"closed/x", 0o644}}, fileTree{{"hidden", 0o644}, {"seen", 0o644}, {"closed/", 0o755}, {"closed/x", 0o644}})
	dir := t.TempDir()
	if err := errors.Join(unix.Mknod(dir+"/hidden", unix.S_IFCHR, 0), os.Mkdir(dir+"/closed", 0o755), unix.Setxattr(dir+"/closed", string(TrustedMark), []byte("y"), 0)); err != nil {
		t.Fatal(err)
	}
	top, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	low.dirs = append([]int{top}, low.dirs...)
	changes, err := Diff(up, low, DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"C closed", "A closed/x", "A hidden", "C seen"}, lines(changes)); diff != "" {
		t.Error(diff)
	}
	if err := os.Symlink("/", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if fd, ok, err := openChild(top, "link"); ok || err != nil {
		t.Errorf("a link was opened as the directory it leads to: %d, %v", fd, err)
	}
}

// A node may make directories of any depth, by steps.
func TestDiffOfADeepTree(t *testing.T) {
	up, low, _ := layered(t, nil, nil)
	name := strings.Repeat("d", 200)
	at, err := unix.Openat(up, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var fds []int
	for range 25 {
		if err := unix.Mkdirat(at, name, 0o755); err != nil {
			t.Fatal(err)
		}
		fds = append(fds, at)
		if at, err = unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Diff(up, low, DiffOptions{}); !errors.Is(err, ErrTooDeep) {
		t.Errorf("25 directories of 200 letters: %v", err)
	}
	_ = unix.Close(at)
	for _, fd := range slices.Backward(fds) {
		if err := unix.Unlinkat(fd, name, unix.AT_REMOVEDIR); err != nil {
			t.Error(err)
		}
		_ = unix.Close(fd)
	}
}

// A layer that changes while it is looked at is looked at to its end, and nothing outside is read.
func TestDiffOfAChangingTree(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(outside+"/secret", []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	up, low, upper := layered(t, fileTree{{"d/", 0o755}, {"d/f", 0o644}}, nil)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			// A directory and a link to the outside take turns, and so do a file and a link.
			_ = os.Rename(upper+"/d", upper+"/e")
			_ = os.Symlink(outside, upper+"/d")
			_ = os.Remove(upper + "/e/f")
			_ = os.Symlink(outside+"/secret", upper+"/e/f")
			_ = os.Remove(upper + "/e/f")
			_ = os.WriteFile(upper+"/e/f", []byte("mine"), 0o644)
			_ = os.Remove(upper + "/d")
			_ = os.Rename(upper+"/e", upper+"/d")
		}
	}()
	for range 300 {
		changes, err := Diff(up, low, DiffOptions{})
		if err != nil {
			t.Fatal(err)
		}
		to, _ := newDir(t)
		err = WriteLayer(up, to, changes, DiffOptions{})
		if err != nil && !errors.Is(err, ErrChanging) {
			t.Fatal(err)
		}
		for _, path := range []string{"/d/f", "/e/f", "/d/secret", "/e/secret"} {
			// Links that were seen as links are in the layer as links.
			fd, err := openBeneath(to, path[1:], unix.O_RDONLY)
			if err != nil {
				continue
			}
			b := make([]byte, 10)
			n, _ := unix.Read(fd, b)
			_ = unix.Close(fd)
			if n > 0 && string(b[:n]) == "secret" {
				t.Fatal("the layer has what is outside")
			}
		}
	}
	close(stop)
	<-stopped
}

// What is another kind of file than it was a moment ago is told as such, and nothing is made of it.
func TestOfAnotherKind(t *testing.T) {
	from, dir := newDir(t)
	to, toDir := newDir(t)
	fileTree{{"d/", 0o755}, {"f", 0o644}}.make(t, dir)
	for _, err := range []error{os.Symlink("f", dir+"/link"), unix.Mkfifo(dir+"/pipe", 0o600), unix.Mknod(dir+"/socket", unix.S_IFSOCK|0o600, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"d", "link", "pipe", "socket"} {
		if err := copyFile(from, to, name); !errors.Is(err, ErrChanging) {
			t.Errorf("%s as a file: %v", name, err)
		}
	}
	for _, name := range []string{"d", "f", "pipe", "socket"} {
		if err := copySpecial(Found{unix.Stat_t{Mode: unix.S_IFLNK}, from}, to, name); !errors.Is(err, ErrChanging) {
			t.Errorf("%s as a link: %v", name, err)
		}
	}
	if made, err := os.ReadDir(toDir); err != nil || len(made) > 0 {
		t.Errorf("made: %v, %v", made, err)
	}
}
