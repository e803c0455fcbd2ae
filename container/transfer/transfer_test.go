package transfer

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tree lists what is below a directory, as "name kind mode content".
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		text := rel + " " + fi.Mode().String()
		switch {
		case fi.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(b)
		case fi.Mode()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(path)
			text += " -> " + to
		}
		all = append(all, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sample makes a directory with something of each kind.
func sample(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "src")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "sub/closed"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o644))
	must(os.WriteFile(filepath.Join(dir, "sub/run"), []byte("#!"), 0o755))
	must(os.Chmod(filepath.Join(dir, "sub/run"), 0o755|fs.ModeSetuid))
	must(os.WriteFile(filepath.Join(dir, "sub/closed/in"), []byte("inner"), 0o400))
	must(os.Symlink("../file", filepath.Join(dir, "sub/link")))
	must(os.Symlink("/etc/passwd", filepath.Join(dir, "abroad")))
	must(syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	must(os.Chmod(filepath.Join(dir, "sub/closed"), 0o500))
	must(os.Chtimes(filepath.Join(dir, "file"), time.Unix(1, 0), time.Unix(1_000_000_000, 0)))
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "sub/closed"), 0o700) })
	return dir
}

func packed(t *testing.T, path string) ([]byte, []string) {
	t.Helper()
	var b bytes.Buffer
	var notes []string
	if err := Pack(&b, Typed, path, func(s string) { notes = append(notes, s) }); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), notes
}

func TestCopyOfADirectory(t *testing.T) {
	src := sample(t)
	archive, notes := packed(t, src)
	if len(notes) != 1 || !strings.Contains(notes[0], "pipe") {
		t.Errorf("notes: %q", notes)
	}
	want := []string{
		"abroad Lrwxrwxrwx -> /etc/passwd", "file -rw-r--r-- text", "sub drwxr-xr-x", "sub/closed dr-x------",
		"sub/closed/in -r-------- inner", "sub/link Lrwxrwxrwx -> ../file", "sub/run -rwxr-xr-x #!",
	}
	prefixed := []string{"src drwxr-xr-x"}
	for _, w := range want {
		prefixed = append(prefixed, "src/"+w)
	}
	for name, tc := range map[string]struct {
		dst, base string
		there     bool
		want      []string
	}{
		"to a name that is free":     {"new", "src", false, append([]string{"new drwxr-xr-x"}, swap(prefixed[1:], "src/", "new/")...)},
		"into a directory":           {"", "src", true, prefixed},
		"its content, into one":      {"", ".", true, want},
		"its content, to a free one": {"new", ".", false, append([]string{"new drwxr-xr-x"}, swap(prefixed[1:], "src/", "new/")...)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Cleanup(func() { openAll(dir) })
			for range 2 { // once more over what is there, where that is the same
				if err := Unpack(bytes.NewReader(archive), Typed, filepath.Join(dir, tc.dst), tc.base); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, tree(t, dir)); diff != "" {
					t.Fatalf("(-want +got)\n%s", diff)
				}
				if tc.dst != "" && tc.base != "." {
					break // the second time it goes into it
				}
				openAll(dir)
			}
		})
	}
	dir := t.TempDir()
	t.Cleanup(func() { openAll(dir) })
	if err := Unpack(bytes.NewReader(archive), Typed, dir, "."); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(filepath.Join(dir, "file")); err != nil || !fi.ModTime().Equal(time.Unix(1_000_000_000, 0)) {
		t.Errorf("%v, %v", fi.ModTime(), err)
	}
}

func swap(all []string, from, to string) []string {
	out := slices.Clone(all)
	for i := range out {
		out[i] = strings.Replace(out[i], from, to, 1)
	}
	return out
}

// openAll lets a tree be written and removed.
func openAll(dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
}

func TestCopyOfAFile(t *testing.T) {
	src := sample(t)
	archive, _ := packed(t, filepath.Join(src, "sub/link")) // which leads to file
	for name, tc := range map[string]struct {
		before  func(dir string) error
		dst     string
		want    string
		refused string
	}{
		"to a free name":     {nil, "new", "new -rw-r--r-- text", ""},
		"into a directory":   {nil, "", "name -rw-r--r-- text", ""},
		"over a file":        {func(d string) error { return os.WriteFile(d+"/old", []byte("longer than that"), 0o600) }, "old", "old -rw-r--r-- text", ""},
		"to a link":          {func(d string) error { return os.Symlink("/etc/hostname", d+"/old") }, "old", "", "is neither a file nor a directory"},
		"to a dangling link": {func(d string) error { return os.Symlink("nowhere", d+"/old") }, "old", "", "is neither a file nor a directory"},
		"to a named pipe":    {func(d string) error { return syscall.Mkfifo(d+"/old", 0o600) }, "old", "", "is neither a file nor a directory"},
		"over a link":        {func(d string) error { return os.Symlink("/etc/hostname", d+"/name") }, "", "name -rw-r--r-- text", ""},
		"no such directory":  {nil, "no/", "", "there is no such directory"},
		"below none":         {nil, "no/such", "", "no such file or directory"},
		"over a directory":   {func(d string) error { return os.MkdirAll(d+"/x/name", 0o700) }, "x", "", "is a directory: it is not replaced"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if tc.before != nil {
				if err := tc.before(dir); err != nil {
					t.Fatal(err)
				}
			}
			dst := dir + "/" + tc.dst
			err := Unpack(bytes.NewReader(archive), Typed, dst, "name")
			if tc.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tc.want}, tree(t, dir)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// entry is one of a hostile archive.
type entry struct {
	name, link, text string
	kind             byte
	mode             int64
}

func archiveOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Linkname: e.link, Typeflag: e.kind, Mode: e.mode, Size: int64(len(e.text)), Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestHostileArchives holds that nothing is written outside of the destination, and nothing but files,
// directories and links into it.
func TestHostileArchives(t *testing.T) {
	dir := entry{name: ".", kind: tar.TypeDir, mode: 0o755}
	for name, entries := range map[string][]entry{
		"no root":                {{name: "x", kind: tar.TypeReg, text: "x"}},
		"root is a link":         {{name: ".", kind: tar.TypeSymlink, link: "/"}},
		"root is a device":       {{name: ".", kind: tar.TypeChar}},
		"dots":                   {dir, {name: "../victim", kind: tar.TypeReg, text: "x"}},
		"dots within":            {dir, {name: "a/../../victim", kind: tar.TypeReg, text: "x"}},
		"absolute":               {dir, {name: "/victim", kind: tar.TypeReg, text: "x"}},
		"through an own link":    {dir, {name: "l", kind: tar.TypeSymlink, link: ".."}, {name: "l/victim", kind: tar.TypeReg, text: "x"}},
		"through an absolute":    {dir, {name: "l", kind: tar.TypeSymlink, link: "OUTSIDE"}, {name: "l/victim", kind: tar.TypeReg, text: "x"}},
		"directory over a link":  {dir, {name: "l", kind: tar.TypeSymlink, link: "OUTSIDE"}, {name: "l", kind: tar.TypeDir, mode: 0o777}, {name: "l/victim", kind: tar.TypeReg, text: "x"}},
		"through one there":      {dir, {name: "there/victim", kind: tar.TypeReg, text: "x"}},
		"over one there":         {dir, {name: "there", kind: tar.TypeDir, mode: 0o777}},
		"hard link":              {dir, {name: "h", kind: tar.TypeLink, link: "OUTSIDE/secret"}},
		"device":                 {dir, {name: "d", kind: tar.TypeBlock}},
		"named pipe":             {dir, {name: "p", kind: tar.TypeFifo}},
		"the root again":         {dir, {name: ".", kind: tar.TypeReg, text: "x"}},
		"a name that is no name": {dir, {name: "a//b", kind: tar.TypeReg, text: "x"}},
		"a long name":            {dir, {name: strings.Repeat("a/", 3000) + "b", kind: tar.TypeReg}},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			outside, dst := filepath.Join(base, "outside"), filepath.Join(base, "dst")
			for _, d := range []string{outside, dst} {
				if err := os.Mkdir(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(outside, filepath.Join(dst, "there")); err != nil {
				t.Fatal(err)
			}
			for i := range entries {
				entries[i].link = strings.ReplaceAll(entries[i].link, "OUTSIDE", outside)
			}
			before := tree(t, outside)
			if err := Unpack(bytes.NewReader(archiveOf(t, entries...)), Typed, dst, "."); err == nil {
				t.Error("it is accepted")
			}
			if diff := cmp.Diff(before, tree(t, outside)); diff != "" {
				t.Errorf("outside (-before +after)\n%s", diff)
			}
			for _, line := range tree(t, base) {
				if strings.Contains(line, "victim") {
					t.Error(line)
				}
			}
		})
	}
	dst := t.TempDir()
	if err := Unpack(bytes.NewReader(archiveOf(t, dir, entry{name: "s", kind: tar.TypeReg, mode: 0o6777})), Typed, dst, "."); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"s -rwxrwxrwx "}, tree(t, dst)); diff != "" {
		t.Errorf("set-user-ID bits (-want +got)\n%s", diff)
	}
}

// A link that whoever owns the destination has put in the place of what is copied is not followed.
func TestUnpackFollowsNoLinkInItsPlace(t *testing.T) {
	t.Parallel()
	archive, _ := packed(t, sample(t))
	dir := t.TempDir()
	victim, dst := filepath.Join(dir, "victim"), filepath.Join(dir, "dst")
	for _, d := range []string{victim, dst} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, to := range []string{victim, "../victim"} {
		if err := os.Symlink(to, filepath.Join(dst, "src")); err != nil {
			t.Fatal(err)
		}
		if err := Unpack(bytes.NewReader(archive), Typed, dst, "src"); err == nil {
			t.Error("no error")
		}
		if err := os.Remove(filepath.Join(dst, "src")); err != nil {
			t.Fatal(err)
		}
	}
	if all := tree(t, victim); len(all) > 0 {
		t.Errorf("elsewhere there are %v", all)
	}
	if err := Unpack(bytes.NewReader(archive), Typed, dst, "src"); err != nil || len(tree(t, dst)) < 2 {
		t.Errorf("without a link: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(archiveOf(f, entry{name: ".", kind: tar.TypeDir, mode: 0o755}, entry{name: "a", kind: tar.TypeSymlink, link: ".."}, entry{name: "a/b", kind: tar.TypeReg, text: "x"}))
	f.Add(archiveOf(f, entry{name: ".", kind: tar.TypeReg, text: "x"}))
	f.Add(archiveOf(f, entry{name: ".", kind: tar.TypeDir, mode: 0o755}, entry{name: "d", kind: tar.TypeDir, mode: 0o500}, entry{name: "d/e", kind: tar.TypeDir, mode: 0o6755}, entry{name: "d/e/f", kind: tar.TypeReg, text: "x", mode: 0o4755}))
	f.Add(archiveOf(f, entry{name: ".", kind: tar.TypeDir, mode: 0o755}, entry{name: "a", kind: tar.TypeReg, text: "x"}, entry{name: "a", kind: tar.TypeSymlink, link: "/"}, entry{name: "a", kind: tar.TypeReg, text: "y"}))
	f.Add(archiveOf(f, entry{name: ".", kind: tar.TypeDir, mode: 0o755}, entry{name: "../x", kind: tar.TypeReg, text: "x"}))
	f.Fuzz(func(t *testing.T, archive []byte) {
		base := t.TempDir()
		dst := filepath.Join(base, "dst")
		if err := os.Mkdir(dst, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = Unpack(bytes.NewReader(archive), Typed, dst, "x")
		openAll(base)
		for _, line := range tree(t, base) {
			if !strings.HasPrefix(line, "dst") {
				t.Fatalf("outside of it: %s", line)
			}
		}
	})
}

// TestPackOfAChangingFile holds that an archive stays whole.
func TestPackOfAChangingFile(t *testing.T) {
	for _, name := range []string{"/proc/self/status", "/proc/version"} { // of size 0, with content
		var b bytes.Buffer
		if err := Pack(&b, Typed, name, func(string) {}); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := Unpack(&b, Typed, dir, "x"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := tree(t, dir); len(got) != 1 || len(got[0]) < 40 {
			t.Errorf("%s: %q", name, got)
		}
	}
	if err := Pack(&bytes.Buffer{}, Typed, "/dev/null", func(string) {}); err == nil || !strings.Contains(err.Error(), "neither a file nor a directory") {
		t.Errorf("a device: %v", err)
	}
	if err := Pack(&bytes.Buffer{}, Typed, "/no/such", func(string) {}); err == nil {
		t.Error("nothing")
	}
	for _, n := range []int{0, 1, 4096} {
		b := make([]byte, n)
		if got, err := (zeros{}).Read(b); got != n || err != nil {
			t.Error(fmt.Sprint(got, err))
		}
	}
}
