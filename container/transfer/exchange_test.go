package transfer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/inroot"
)

// exchanged is a directory "site" of somebody who exchanges site/sub for a link to what is not theirs.
type exchanged struct {
	dir, site, victim, link string
}

func exchangedTree(t *testing.T) exchanged {
	t.Helper()
	dir := t.TempDir()
	x := exchanged{dir, filepath.Join(dir, "site"), filepath.Join(dir, "victim"), filepath.Join(dir, "link")}
	if err := errors.Join(os.MkdirAll(filepath.Join(x.site, "sub/deep"), 0o755), os.MkdirAll(filepath.Join(x.victim, "deep"), 0o700), os.Symlink(x.victim, x.link)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "deep/c", "d"} {
		if err := errors.Join(os.WriteFile(filepath.Join(x.site, "sub", name), []byte("harmless"), 0o644), os.WriteFile(filepath.Join(x.victim, name), []byte("SECRET"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// exchange puts the link in the place of site/sub, or the other way.
func (x exchanged) exchange() error {
	return unix.Renameat2(unix.AT_FDCWD, filepath.Join(x.site, "sub"), unix.AT_FDCWD, x.link, unix.RENAME_EXCHANGE)
}

// at calls do once when the archive names something.
type at struct {
	bytes.Buffer
	name string
	do   func() error
	err  error
}

func (a *at) Write(b []byte) (int, error) {
	if a.do != nil && bytes.HasPrefix(b, []byte(a.name+"\x00")) || a.do != nil && bytes.HasPrefix(b, []byte(a.name+"/\x00")) {
		a.err, a.do = a.do(), nil
	}
	return a.Buffer.Write(b)
}

// What is exchanged for a link after it was looked at leads nowhere.
func TestPackWhileDirectoriesAreExchanged(t *testing.T) {
	for _, name := range []string{".", "sub", "sub/a", "sub/b", "sub/deep", "sub/deep/c"} {
		x := exchangedTree(t)
		w := &at{name: name, do: x.exchange}
		err := Pack(w, Typed, x.site, func(string) {})
		if w.do != nil || w.err != nil {
			t.Fatalf("%s: it was not exchanged: %v", name, w.err)
		}
		if bytes.Contains(w.Bytes(), []byte("SECRET")) {
			t.Errorf("exchanged at %s: a file of others is in the archive; %v", name, err)
		}
	}
}

// parts is an archive that calls before[i] when its entry i is asked for, when all before it are unpacked.
type parts struct {
	all    [][]byte
	before map[int]func() error
	next   int
	now    []byte
	err    error
}

func partsOf(t *testing.T, entries ...entry) *parts {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	p := &parts{before: map[int]func() error{}}
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: e.mode, Size: int64(len(e.text)), Linkname: e.link, Format: tar.FormatPAX}
		err := w.WriteHeader(h)
		if err == nil {
			_, err = io.WriteString(w, e.text)
		}
		if err = errors.Join(err, w.Flush()); err != nil {
			t.Fatal(err)
		}
		p.all = append(p.all, slices.Clone(b.Bytes()))
		b.Reset()
	}
	p.all = append(p.all, make([]byte, 1024))
	return p
}

func (p *parts) Read(b []byte) (int, error) {
	if len(p.now) == 0 {
		if p.next == len(p.all) {
			return 0, io.EOF
		}
		if do := p.before[p.next]; do != nil {
			p.err = errors.Join(p.err, do())
		}
		p.now = p.all[p.next]
		p.next++
	}
	n := copy(b, p.now)
	p.now = p.now[n:]
	return n, nil
}

// Nothing is written to where a link leads that was put in the place of a directory, and no permissions are changed there.
func TestUnpackWhileDirectoriesAreExchanged(t *testing.T) {
	entries := []entry{
		{name: ".", kind: tar.TypeDir, mode: 0o755},
		{name: "sub", kind: tar.TypeDir, mode: 0o777},
		{name: "sub/deep", kind: tar.TypeDir, mode: 0o777},
		{name: "sub/deep/evil", kind: tar.TypeReg, text: "x", mode: 0o777},
		{name: "sub/deep/l", kind: tar.TypeSymlink, link: "x"},
		{name: "sub/evil", kind: tar.TypeReg, text: "x", mode: 0o777},
		{name: "sub/new", kind: tar.TypeDir, mode: 0o777},
		{name: "sub/new/evil", kind: tar.TypeReg, text: "x", mode: 0o777},
	}
	for _, inside := range []bool{false, true} {
		for i := 1; i <= len(entries); i++ {
			x := exchangedTree(t)
			if inside { // a place of the same destination
				x.victim = filepath.Join(x.site, "victim")
				if err := errors.Join(os.Rename(filepath.Join(x.dir, "victim"), x.victim), os.Remove(x.link), os.Symlink("victim", x.link)); err != nil {
					t.Fatal(err)
				}
			}
			before := fmt.Sprint(mode755(t, x.victim), tree(t, x.victim))
			p := partsOf(t, entries...)
			p.before[i] = x.exchange
			err := Unpack(p, Typed, x.site, ".")
			if p.err != nil {
				t.Fatalf("before %d: it was not exchanged: %v", i, p.err)
			}
			if after := fmt.Sprint(mode755(t, x.victim), tree(t, x.victim)); after != before {
				t.Errorf("exchanged before entry %d: elsewhere there is %s; %v", i, after, err)
			}
		}
	}
}

func mode755(t *testing.T, dir string) os.FileMode {
	t.Helper()
	fi, err := os.Lstat(dir)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Mode()
}

// The same while somebody exchanges them without end.
func TestCopyInARace(t *testing.T) {
	x := exchangedTree(t)
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			_ = x.exchange()
		}
	}()
	before := tree(t, x.victim)
	archive := archiveOf(t, entry{name: ".", kind: tar.TypeDir, mode: 0o755}, entry{name: "sub", kind: tar.TypeDir, mode: 0o755},
		entry{name: "sub/deep", kind: tar.TypeDir, mode: 0o755}, entry{name: "sub/deep/evil", kind: tar.TypeReg, text: "x"}, entry{name: "sub/evil", kind: tar.TypeReg, text: "x"})
	for i := range 300 {
		var b bytes.Buffer
		_ = Pack(&b, Typed, x.site, func(string) {})
		if bytes.Contains(b.Bytes(), []byte("SECRET")) {
			t.Errorf("in run %d a file of others is in the archive", i)
			break
		}
		_ = Unpack(bytes.NewReader(archive), Typed, x.site, ".")
	}
	stop.Store(true)
	<-done
	if after := tree(t, x.victim); !slices.Equal(before, after) {
		t.Errorf("elsewhere there is %q", after)
	}
}

// A path of the host that leads through a link of another user is refused both ways, and what leads where in a node is the node's.
func TestPathsThroughLinksOfOthers(t *testing.T) {
	x := exchangedTree(t)
	if os.Geteuid() != 0 {
		return // links of others are made by root alone
	}
	if err := os.Lchown(x.link, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	archive := archiveOf(t, entry{name: ".", kind: tar.TypeReg, text: "x"})
	before := tree(t, x.victim)
	for _, path := range []string{x.link, x.link + "/a", x.link + "/deep/../a"} {
		var b bytes.Buffer
		if err := Pack(&b, Typed, path, nil); !errors.Is(err, inroot.ErrForeignLink) || b.Len() > 0 {
			t.Errorf("from %s: %v", path, err)
		}
		if err := Unpack(bytes.NewReader(archive), Typed, path, "evil"); !errors.Is(err, inroot.ErrForeignLink) {
			t.Errorf("to %s: %v", path, err)
		}
		if err := Pack(&b, Inside, path, nil); err != nil || !strings.Contains(b.String(), "SECRET") {
			t.Errorf("in a node: %v", err)
		}
	}
	if after := tree(t, x.victim); !slices.Equal(before, after) {
		t.Errorf("elsewhere there is %q", after)
	}
}
