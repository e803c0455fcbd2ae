package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/overlayfs"
)

// The contract of drivers of unions: each of them passes all of these, or says by name what it has not.

// lacks is what a driver cannot do, by its own documentation.
type lacks struct {
	copyUp    bool // a file of a read-only layer is written
	whiteouts bool // what a read-only layer has is removed, and whiteouts and opaque directories of layers count
}

func contractDrivers() map[string]struct {
	overlayfs.Driver
	lacks
} {
	type d = struct {
		overlayfs.Driver
		lacks
	}
	return map[string]d{
		"overlay": {overlayfs.Overlay{}, lacks{}},
		"copy":    {overlayfs.Copy{}, lacks{}},
		"fuse":    {overlayfs.Fuse{}, lacks{copyUp: true, whiteouts: true}},
	}
}

// union is one in a test: where it is, and where its own layer is.
type union struct {
	at, own string
	lacks
}

// mountUnion makes a union of branches with a driver. The union and its server are gone with the test.
func mountUnion(t *testing.T, d overlayfs.Driver, branches ...overlayfs.Branch) (at, own string) {
	t.Helper()
	base := t.TempDir()
	m, err := newMounter(base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	m.init = os.Getpid()
	var fd, upper int
	if err := m.do(func() error {
		s := overlayfs.Spec{Branches: branches, Own: base + "/own", Scratch: base + "/scratch", Userns: -1, Server: func(s *overlayfs.Spec, p overlayfs.Program) (int, error) {
			mount, ends, err := m.serve(s, p)
			if err == nil {
				err = ends.Close()
			}
			return mount, err
		}}
		for _, dir := range []string{s.Own, s.Scratch} {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
		}
		if s.Self, err = ownProgram(); err != nil {
			return err
		}
		if fd, err = d.Mount(&s); err != nil {
			return err
		}
		upper, err = unix.OpenTree(unix.AT_FDCWD, s.Own, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	dirs := []string{}
	for _, fd := range []int{fd, upper} {
		dir := t.TempDir()
		dirs = append(dirs, dir)
		if err := unix.MoveMount(fd, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(fd)
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	}
	return dirs[0], dirs[1]
}

// serversEnd waits until no mergerfs of the test is left: one ends with the only mount of its file system. Process
// ids are the test's own.
func serversEnd(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		left := ""
		names, err := filepath.Glob("/proc/[0-9]*/comm")
		must(t, err)
		for _, n := range names {
			if b, _ := os.ReadFile(n); strings.TrimSpace(string(b)) == "mergerfs" {
				left = n
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is left after its union has been unmounted", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// planted makes directories and files: "dir/" or "file" with content after "=".
func planted(t *testing.T, entries ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, e := range entries {
		path, content, _ := strings.Cut(e, "=")
		full := filepath.Join(dir, path)
		if strings.HasSuffix(path, "/") {
			must(t, os.MkdirAll(full, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, []byte(content), 0o644))
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		return "(" + errors.Unwrap(err).Error() + ")"
	}
	return string(b)
}

// picture is all of a tree: types, modes, contents.
func picture(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		if i.Mode().Type() != d.Type() {
			t.Errorf("%s: the directory says it is %v, it is %v", path, d.Type(), i.Mode().Type())
		}
		all[path] = i.Mode().String()
		if i.Mode().IsRegular() {
			all[path] += " " + content(t, path)
		}
		return nil
	}))
	return all
}

func TestUnionContract(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs")
		defer serversEnd(t)
		for name, d := range contractDrivers() {
			for title, clause := range contract() {
				t.Run(name+"/"+title, func(t *testing.T) {
					top, low := planted(t, "apple=fruit", "tomato=fruit", "both/a=top"), planted(t, "carrots=veg", "tomato=veg", "both/b=low", "gone/x=low", "gone/y/z=low")
					must(t, os.Chown(top, 3, 4))
					must(t, unix.Chmod(top, 0o1751))
					before := []map[string]string{picture(t, top), picture(t, low)}
					at, own := mountUnion(t, d, overlayfs.Branch{Path: top}, overlayfs.Branch{Path: low})
					clause(t, union{at, own, d.lacks})
					if diff := cmp.Diff(before, []map[string]string{picture(t, top), picture(t, low)}); diff != "" {
						t.Errorf("the layers have changed: %s", diff)
					}
				})
			}
		}
	})
}

// contract are the clauses, on a union of fruits above vegetables.
func contract() map[string]func(*testing.T, union) {
	return map[string]func(*testing.T, union){
		"the first wins": func(t *testing.T, u union) {
			var names []string
			for p := range picture(t, u.at) {
				names = append(names, strings.TrimPrefix(p, u.at))
			}
			slices.Sort(names)
			if diff := cmp.Diff([]string{"", "/apple", "/both", "/both/a", "/both/b", "/carrots", "/gone", "/gone/x", "/gone/y", "/gone/y/z", "/tomato"}, names); diff != "" {
				t.Error(diff)
			}
			if got := content(t, u.at+"/tomato") + content(t, u.at+"/carrots"); got != "fruitveg" {
				t.Errorf("tomato and carrots are %q", got)
			}
		},
		"its root is the topmost layer's": func(t *testing.T, u union) {
			var st unix.Stat_t
			must(t, unix.Stat(u.at, &st))
			if st.Mode&0o7777 != 0o1751 || st.Uid != 3 || st.Gid != 4 {
				t.Errorf("it is %o of %d:%d", st.Mode, st.Uid, st.Gid)
			}
		},
		"a file of a layer is written": func(t *testing.T, u union) {
			err := os.WriteFile(u.at+"/carrots", []byte("mine"), 0o644)
			if u.copyUp {
				if !errors.Is(err, unix.EROFS) {
					t.Errorf("without copying up: %v, not EROFS", err)
				}
				return
			}
			must(t, err)
			if got := content(t, u.at+"/carrots") + content(t, u.own+"/upper/carrots"); got != "minemine" {
				t.Errorf("the union and its own layer have %q", got)
			}
		},
		"files are made": func(t *testing.T, u union) {
			must(t, os.MkdirAll(u.at+"/new/deep", 0o750))
			must(t, os.WriteFile(u.at+"/new/deep/file", []byte("one"), 0o640))
			must(t, os.Symlink("../x", u.at+"/new/link"))
			must(t, unix.Mkfifo(u.at+"/new/pipe", 0o600))
			f, err := os.OpenFile(u.at+"/new/deep/file", os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString("two")
			must(t, errors.Join(err, f.Close()))
			must(t, os.Chown(u.at+"/new/deep/file", 5, 6))
			must(t, unix.Chmod(u.at+"/new/deep/file", 0o4751))
			var st unix.Stat_t
			must(t, unix.Stat(u.own+"/upper/new/deep/file", &st))
			if st.Uid != 5 || st.Gid != 6 || st.Mode&0o7777 != 0o4751 || content(t, u.at+"/new/deep/file") != "onetwo" {
				t.Errorf("in the union's own layer the file is %o of %d:%d", st.Mode, st.Uid, st.Gid)
			}
			must(t, os.Truncate(u.at+"/new/deep/file", 2))
			if target, err := os.Readlink(u.at + "/new/link"); err != nil || target != "../x" || content(t, u.at+"/new/deep/file") != "on" {
				t.Errorf("link %q, %v", target, err)
			}
			must(t, os.RemoveAll(u.at+"/new"))
			if _, err := os.Lstat(u.own + "/upper/new"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after it was removed: %v", err)
			}
		},
		"renames": func(t *testing.T, u union) {
			must(t, os.Mkdir(u.at+"/new", 0o755))
			must(t, os.WriteFile(u.at+"/new/a", []byte("a"), 0o644))
			must(t, os.WriteFile(u.at+"/new/b", []byte("b"), 0o644))
			must(t, os.Rename(u.at+"/new/a", u.at+"/new/b"))
			must(t, os.Rename(u.at+"/new", u.at+"/other"))
			if got := content(t, u.at+"/other/b"); got != "a" {
				t.Errorf("after renaming: %q", got)
			}
			if u.copyUp {
				return
			}
			must(t, os.Rename(u.at+"/carrots", u.at+"/other/carrots"))
			if got := content(t, u.at+"/other/carrots") + content(t, u.at+"/carrots"); got != "veg(no such file or directory)" {
				t.Errorf("a layer's file, renamed: %q", got)
			}
		},
		"hard links": func(t *testing.T, u union) {
			must(t, os.WriteFile(u.at+"/one", []byte("x"), 0o644))
			must(t, os.Link(u.at+"/one", u.at+"/two"))
			var a, b unix.Stat_t
			must(t, errors.Join(unix.Stat(u.at+"/one", &a), unix.Stat(u.at+"/two", &b)))
			if a.Ino != b.Ino || a.Nlink != 2 {
				t.Errorf("inodes %d and %d, %d links", a.Ino, b.Ino, a.Nlink)
			}
		},
		"attributes": func(t *testing.T, u union) {
			must(t, os.WriteFile(u.at+"/one", nil, 0o644))
			err := unix.Setxattr(u.at+"/one", "user.nsnet", []byte("v"), 0)
			if unix.Setxattr(u.own, "user.nsnet", []byte("v"), 0) == unix.EOPNOTSUPP { // a tmpfs before Linux 6.6
				if !errors.Is(err, unix.EOPNOTSUPP) {
					t.Errorf("on a file system without them: %v", err)
				}
				return
			}
			must(t, err)
			b := make([]byte, 8)
			if n, err := unix.Getxattr(u.at+"/one", "user.nsnet", b); err != nil || string(b[:n]) != "v" {
				t.Errorf("%q, %v", b, err)
			}
		},
		"shared mappings": func(t *testing.T, u union) {
			must(t, os.WriteFile(u.at+"/mapped", []byte("0000"), 0o644))
			f, err := os.OpenFile(u.at+"/mapped", os.O_RDWR, 0)
			must(t, err)
			defer f.Close()
			mem, err := unix.Mmap(int(f.Fd()), 0, 4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			must(t, err)
			mem[1] = '1'
			must(t, errors.Join(unix.Msync(mem, unix.MS_SYNC), unix.Munmap(mem)))
			if got := content(t, u.at+"/mapped"); got != "0100" {
				t.Errorf("after a write through a mapping: %q", got)
			}
		},
		"files of layers are removed": func(t *testing.T, u union) {
			err := os.Remove(u.at + "/carrots")
			if u.whiteouts {
				if !errors.Is(err, unix.EROFS) {
					t.Errorf("without whiteouts: %v, not EROFS", err)
				}
				return
			}
			must(t, err)
			must(t, os.RemoveAll(u.at+"/gone"))
			must(t, os.Mkdir(u.at+"/gone", 0o755))
			if got := content(t, u.at+"/carrots"); !strings.HasPrefix(got, "(no such") {
				t.Errorf("carrots: %s", got)
			}
			if p := picture(t, u.at+"/gone"); len(p) != 1 {
				t.Errorf("a directory that was made anew has %v", p)
			}
		},
	}
}

// What layers hide of those below them.
func TestUnionMarks(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		for _, d := range []overlayfs.Driver{overlayfs.Overlay{}, overlayfs.Copy{}} {
			t.Run(d.Name(), func(t *testing.T) {
				top, low := planted(t, "closed/mine=1"), planted(t, "hidden=x", "closed/a=2", "seen=3")
				must(t, unix.Mknod(top+"/hidden", unix.S_IFCHR, 0))
				mark := overlayfs.TrustedMark
				if d == (overlayfs.Copy{}) { // which takes either; an overlay of the host's root only this one
					mark = overlayfs.UserMark
				}
				if err := unix.Setxattr(top+"/closed", string(mark), []byte("y"), 0); errors.Is(err, unix.EOPNOTSUPP) {
					must(t, unix.Setxattr(top+"/closed", string(overlayfs.TrustedMark), []byte("y"), 0)) // a tmpfs before Linux 6.6
				} else {
					must(t, err)
				}
				at, _ := mountUnion(t, d, overlayfs.Branch{Path: top}, overlayfs.Branch{Path: low})
				var got []string
				for p := range picture(t, at) {
					got = append(got, strings.TrimPrefix(p, at))
				}
				slices.Sort(got)
				if diff := cmp.Diff([]string{"", "/closed", "/closed/mine", "/seen"}, got); diff != "" {
					t.Error(diff)
				}
				single := planted(t, "deep/x=1")
				must(t, unix.Mknod(single+"/hidden", unix.S_IFCHR, 0))
				alone, _ := mountUnion(t, d, overlayfs.Branch{Path: single})
				if got := picture(t, alone); len(got) != 3 || got[alone+"/deep/x"] == "" {
					t.Errorf("of one layer alone: %v", got)
				}
			})
		}
	})
}

func TestUnionOfManyLayers(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs")
		defer serversEnd(t)
		odd := []string{"a:b", "a,b", `a\b`, `\`, "sp ace", "new\nline", "=RW", "a=RO:b", strings.Repeat("long", 60), "*", "'\""}
		for name, d := range contractDrivers() {
			t.Run(name, func(t *testing.T) {
				base := t.TempDir()
				var branches []overlayfs.Branch
				for i := range 100 {
					dir := filepath.Join(base, fmt.Sprint(i)+odd[i%len(odd)])
					must(t, os.Mkdir(dir, 0o755))
					must(t, os.WriteFile(fmt.Sprintf("%s/f%d", dir, i), nil, 0o644))
					must(t, os.WriteFile(dir+"/who", fmt.Append(nil, i), 0o644))
					branches = append(branches, overlayfs.Branch{Path: dir})
				}
				at, _ := mountUnion(t, d, branches...)
				if n := len(picture(t, at)); n != 102 || content(t, at+"/who") != "0" {
					t.Errorf("%d entries of 102, the first is %s", n, content(t, at+"/who"))
				}
			})
		}
	})
}

// The second experiment, as aufs had it: both layers are written in place.
func TestUnionWritableLayers(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs")
		t.Cleanup(func() { serversEnd(t) })
		fruits, vegetables := planted(t, "apple=fruit", "tomato=fruit", "d/"), planted(t, "carrots=veg", "tomato=veg", "only/x=veg")
		at, _ := mountUnion(t, overlayfs.Fuse{}, overlayfs.Branch{Path: fruits, Writable: true}, overlayfs.Branch{Path: vegetables, Writable: true})
		for _, f := range []string{"carrots", "tomato", "new", "only/new"} {
			must(t, os.WriteFile(at+"/"+f, []byte("mine"), 0o644))
		}
		want := map[string]string{fruits + "/tomato": "mine", vegetables + "/tomato": "veg", vegetables + "/carrots": "mine", fruits + "/new": "mine",
			vegetables + "/only/new": "mine", fruits + "/carrots": "(no such file or directory)"}
		for path, c := range want {
			if got := content(t, path); got != c {
				t.Errorf("%s is %q, not %q", path, got, c)
			}
		}
		must(t, os.Remove(at+"/tomato"))
		must(t, os.RemoveAll(at+"/only"))
		if got := content(t, at+"/tomato"); got != "(no such file or directory)" {
			t.Errorf("tomato was removed and is %q", got)
		}
		for _, d := range []overlayfs.Driver{overlayfs.Overlay{}, overlayfs.Copy{}} {
			if err := d.Check([]overlayfs.Branch{{Path: "/x", Writable: true}, {Path: "/y", Writable: true}}); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "fuse") {
				t.Errorf("%s with a writable layer: %v", d.Name(), err)
			}
		}
	})
}

// A layer of a small file system is written as long as there is room.
func TestUnionOnASmallFileSystem(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs")
		t.Cleanup(func() { serversEnd(t) })
		small := t.TempDir()
		must(t, unix.Mount("tmpfs", small, "tmpfs", 0, "size=4m"))
		t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
		at, _ := mountUnion(t, overlayfs.Fuse{}, overlayfs.Branch{Path: small, Writable: true}, overlayfs.Branch{Path: planted(t, "low=1")})
		must(t, os.WriteFile(at+"/new", []byte("mine"), 0o644))
		if got := content(t, small+"/new"); got != "mine" {
			t.Errorf("the layer has %q", got)
		}
	})
}

func TestChooseStorage(t *testing.T) {
	testenv.Need(t, "mergerfs")
	fine := func() error { return nil }
	refused := func() error { return unix.EINVAL }
	ro, rw := []overlayfs.Branch{{Path: "/a"}}, []overlayfs.Branch{{Path: "/a", Writable: true}, {Path: "/b", Writable: true}}
	for _, c := range []struct {
		want     string
		branches []overlayfs.Branch
		refused  func() error
		driver   string
		why      string
	}{
		{"", ro, fine, "overlay", "the kernel"},
		{"", rw, fine, "fuse", "rw"},
		{"", ro, refused, "copy", "invalid argument"},
		{"copy", ro, fine, "copy", "asked for"},
		{"fuse", ro, fine, "fuse", "asked for"},
		{"overlay", rw, fine, "", "in place"},
		{"", rw[:1], fine, "overlay", "the first layer alone is rw"},
		{"", append(rw[:1:1], ro...), fine, "overlay", "the first layer alone is rw"},
		{"", append(ro[:1:1], rw...), fine, "fuse", "rw"},
		{"", rw[:1], refused, "", "storage: fuse has them"},
		{"fuse", rw[:1], refused, "fuse", "asked for"},
		{"copy", rw[:1], fine, "", "in place"},
		{"zfs", ro, fine, "", "zfs"},
	} {
		got, err := overlayfs.Choose(c.want, c.branches, c.refused)
		switch {
		case c.driver == "" && (!errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), c.why)):
			t.Errorf("%+v: %v", c, err)
		case c.driver != "" && (err != nil || got.Driver.Name() != c.driver || !strings.Contains(got.Why, c.why)):
			t.Errorf("%+v: %v because %q, %v", c, got.Driver, got.Why, err)
		}
	}
}
