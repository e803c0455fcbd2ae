package unpack

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hostile is an archive that tries to get out of its directory, which is below two others with a canary in each.
type hostile struct {
	name    string
	entries []tar.Header
	refused bool              // otherwise it is unpacked, and must have stayed inside
	inside  map[string]string // what must be there: a file's content, "-> target" of a link, "dir", "whiteout", "" for nothing
}

func reg(name, content string) tar.Header {
	// The content travels in a field that has no other use here.
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), Uname: content}
}
func dir(name string) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755} }
func sym(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}
}
func hard(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}
}
func node(name string, kind byte) tar.Header {
	return tar.Header{Typeflag: kind, Name: name, Mode: 0o666, Devmajor: 8}
}

// The outside directory, as absolute links of an archive name it: the tests replace OUT.
const out = "OUT"

func breakouts() []hostile {
	return []hostile{
		{"parent", []tar.Header{reg("../canary", "x")}, true, nil},
		{"parent of a parent", []tar.Header{reg("../../canary", "x")}, true, nil},
		{"parent in the middle", []tar.Header{reg("a/../../canary", "x")}, true, nil},
		{"parent at the end", []tar.Header{dir("a/..")}, true, nil},
		{"nothing but a parent", []tar.Header{dir("..")}, true, nil},
		{"parent that stays inside", []tar.Header{reg("a/../b", "x")}, true, nil},
		{"absolute", []tar.Header{reg(out+"/canary", "x")}, false, map[string]string{out + "/canary": "x"}},
		{"absolute with more slashes", []tar.Header{reg("//"+out+"//canary", "x")}, false, map[string]string{out + "/canary": "x"}},
		{"absolute parent", []tar.Header{reg("/../canary", "x")}, true, nil},
		{"directory of a parent", []tar.Header{dir("../new")}, true, nil},
		{"link to a parent, file through it", []tar.Header{sym("a", ".."), reg("a/canary", "x")}, false, map[string]string{"canary": "x"}},
		{"link far up, file through it", []tar.Header{sym("a", "../../../../../../.."), reg("a/tmp-canary", "x")}, false, map[string]string{"tmp-canary": "x"}},
		{"absolute link, file through it", []tar.Header{dir(out), sym("a", out), reg("a/canary", "x")}, false, map[string]string{out + "/canary": "x"}},
		{"absolute link to what the layer lacks", []tar.Header{sym("a", out), reg("a/canary", "x")}, true, nil},
		{"absolute link, directory through it", []tar.Header{dir(out), sym("a", out), dir("a/new")}, false, map[string]string{out + "/new": "dir"}},
		{"chain of links", []tar.Header{dir("x"), sym("a", "b"), sym("b", "c"), sym("c", ".."), reg("a/canary", "x")}, false, map[string]string{"canary": "x"}},
		{"chain through directories", []tar.Header{dir("d"), sym("d/up", "../.."), sym("a", "d/up/.."), reg("a/canary", "x")}, false, map[string]string{"canary": "x"}},
		{"links in a circle", []tar.Header{sym("a", "b"), sym("b", "a"), reg("a/canary", "x")}, true, nil},
		{"link to proc's root", []tar.Header{sym("a", "/proc/self/root"), reg("a"+out+"/canary", "x")}, true, nil},
		{"link to proc's working directory", []tar.Header{sym("a", "/proc/self/cwd/.."), reg("a/canary", "x")}, true, nil},
		{"file over a link out", []tar.Header{sym("a", out+"/canary"), reg("a", "x")}, false, map[string]string{"a": "x"}},
		{"file over a relative link out", []tar.Header{sym("a", "../canary"), reg("a", "x")}, false, map[string]string{"a": "x"}},
		{"file over a link in a linked directory", []tar.Header{dir("d"), sym("l", "d"), sym("l/a", out+"/canary"), reg("l/a", "x")}, false, map[string]string{"d/a": "x"}},
		{"directory over a link out", []tar.Header{sym("a", out), dir("a"), reg("a/canary", "x")}, false, map[string]string{"a/canary": "x"}},
		{"mode of a directory over a link out", []tar.Header{sym("a", out), {Typeflag: tar.TypeDir, Name: "a", Mode: 0o777}}, false, map[string]string{"a": "dir"}},
		{"hard link to a parent's file", []tar.Header{hard("a", "../canary")}, true, nil},
		{"hard link to an absolute name", []tar.Header{hard("a", out+"/canary"), reg("a", "x")}, true, nil},
		{"hard link through a link out", []tar.Header{sym("l", out), hard("a", "l/canary"), reg("a", "x")}, true, nil},
		{"hard link through a relative link out", []tar.Header{sym("l", ".."), hard("a", "l/canary")}, true, nil},
		{"hard link to a link out", []tar.Header{sym("l", out+"/canary"), hard("a", "l"), reg("a", "x")}, false, map[string]string{"a": "x", "l": "-> " + out + "/canary"}},
		{"hard link to a link out, written through its first name", []tar.Header{sym("l", out+"/canary"), hard("a", "l"), reg("l", "x")}, false, map[string]string{"l": "x", "a": "-> " + out + "/canary"}},
		{"hard link over a link out", []tar.Header{reg("f", "x"), sym("a", out+"/canary"), hard("a", "f")}, false, map[string]string{"a": "x"}},
		{"hard link in a link's directory", []tar.Header{reg("f", "x"), sym("l", ".."), hard("l/canary", "f")}, false, map[string]string{"canary": "x"}},
		{"hard link to a directory", []tar.Header{dir("d"), hard("a", "d")}, true, nil},
		{"hard link to the root", []tar.Header{hard("a", "/")}, true, nil},
		{"hard link to nothing", []tar.Header{hard("a", "b")}, true, nil},
		{"hard link to a whiteout", []tar.Header{reg(".wh.w", ""), hard("a", "w")}, true, nil},
		{"hard link to itself", []tar.Header{reg("f", "x"), hard("f", "f")}, false, map[string]string{"f": "x"}},
		{"hard link to itself through a link", []tar.Header{dir("d"), reg("d/f", "x"), sym("l", "d"), hard("l/f", "d/f")}, false, map[string]string{"d/f": "x"}},
		{"whiteout of a parent", []tar.Header{reg(".wh...", "")}, true, nil},
		{"whiteout of the directory itself", []tar.Header{reg("a/.wh..", "")}, true, nil},
		{"whiteout of nothing", []tar.Header{reg(".wh.", "")}, true, nil},
		{"whiteout in a parent", []tar.Header{reg("../.wh.canary", "")}, true, nil},
		{"whiteout through a link out", []tar.Header{sym("l", ".."), reg("l/.wh.canary", "")}, false, map[string]string{"canary": "whiteout"}},
		{"whiteout through an absolute link out", []tar.Header{sym("l", out), reg("l/.wh.canary", "")}, true, nil},
		{"whiteout of a link out", []tar.Header{sym("l", out+"/canary"), reg(".wh.l", "")}, false, map[string]string{"l": "-> " + out + "/canary"}},
		{"opaque through a link out", []tar.Header{sym("l", ".."), reg("l/.wh..wh..opq", "")}, false, nil},
		{"opaque of a parent", []tar.Header{reg("../.wh..wh..opq", "")}, true, nil},
		{"something in a whiteout", []tar.Header{reg(".wh.a/canary", "x")}, true, nil},
		{"something in what is whited out", []tar.Header{reg(".wh.a", ""), reg("a/b", "x")}, true, nil},
		{"block device", []tar.Header{node("sda", tar.TypeBlock)}, false, map[string]string{"sda": ""}},
		{"character device", []tar.Header{node("mem", tar.TypeChar)}, false, map[string]string{"mem": ""}},
		{"device over a link out", []tar.Header{sym("l", out+"/canary"), node("l", tar.TypeChar)}, false, map[string]string{"l": "-> " + out + "/canary"}},
		{"fifo over a link out", []tar.Header{sym("l", out+"/canary"), node("l", tar.TypeFifo)}, false, nil},
		{"link as the root", []tar.Header{sym(".", out), reg("canary", "x")}, true, nil},
		{"file as the root", []tar.Header{reg("./", "x")}, true, nil},
		{"fifo as the root", []tar.Header{node("/.", tar.TypeFifo)}, true, nil},
		{"file as a directory", []tar.Header{reg("f", "x"), reg("f/g", "x")}, true, nil},
		{"file over a directory with links out", []tar.Header{dir("d"), sym("d/l", out), dir("d/e"), sym("d/e/m", ".."), reg("d", "x")}, false, map[string]string{"d": "x"}},
		{"unknown type", []tar.Header{{Typeflag: 'Z', Name: "z"}}, true, nil},
		{"link without a target", []tar.Header{sym("l", "")}, true, nil},
		{"element too long", []tar.Header{reg(strings.Repeat("a", 256), "x")}, true, nil},
		{"name too long", []tar.Header{reg(strings.Repeat("aaaaaaa/", 600), "x")}, true, nil},
		{"too deep", []tar.Header{dir(strings.Repeat("a/", 300))}, true, nil},
		{"negative owner", []tar.Header{{Typeflag: tar.TypeReg, Name: "f", Uid: -1, Mode: 0o644}}, true, nil},
	}
}

func TestBreakouts(t *testing.T) {
	t.Parallel()
	if n := len(breakouts()); n < 40 {
		t.Fatalf("%d cases", n)
	}
	for _, c := range breakouts() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			outside, root := surroundings(t)
			archive := makeTar(t, outside, c.entries)
			_, err := Unpack(context.Background(), root, bytes.NewReader(archive), options())
			checkCanaries(t, outside, root)
			switch {
			case c.refused && err == nil:
				t.Error("it was not refused")
			case c.refused && !errors.Is(err, ErrRefused) && !errors.Is(err, ErrLimit):
				t.Errorf("it failed, and was not refused: %v", err)
			case !c.refused && err != nil:
				t.Error(err)
			}
			if c.name == "negative owner" {
				return
			}
			for name, want := range c.inside {
				if got := look(root, strings.ReplaceAll(name, out, outside)); got != strings.ReplaceAll(want, out, outside) {
					t.Errorf("%s is %q, and not %q", name, got, want)
				}
			}
		})
	}
}

// options are the documented limits, and owners where the test may set them.
func options() Options { return Options{Limits: DefaultLimits(), KeepOwner: os.Geteuid() == 0} }

// surroundings makes a directory to unpack in, with a canary beside it, above it, and below.
func surroundings(t testing.TB) (outside, root string) {
	t.Helper()
	outside = t.TempDir()
	root = filepath.Join(outside, "s", "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{".", "s"} {
		if err := os.WriteFile(filepath.Join(outside, d, "canary"), []byte("alive"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return outside, root
}

// checkCanaries fails where anything outside has changed.
func checkCanaries(t testing.TB, outside, root string) {
	t.Helper()
	var found []string
	err := filepath.WalkDir(outside, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p == root {
			return fs.SkipDir
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(outside, p)
		found = append(found, rel+" "+st.Mode().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 4 && strings.HasPrefix(found[0], ". d") {
		found = found[1:] // the directory's own mode is the test's
	}
	if want := []string{"canary -rw-------", "s drwxr-xr-x", "s/canary -rw-------"}; !slices.Equal(found, want) {
		t.Errorf("outside there is %q, and not %q", found, want)
	}
	for _, c := range []string{"canary", "s/canary"} {
		b, err := os.ReadFile(filepath.Join(outside, c))
		if err != nil || string(b) != "alive" {
			t.Errorf("%s is %q: %v", c, b, err)
		}
		st, err := os.Stat(filepath.Join(outside, c))
		if err != nil || !oneName(st) {
			t.Errorf("%s has another name: %v", c, err)
		}
	}
}

func makeTar(t testing.TB, outside string, entries []tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		content := h.Uname
		h.Uname = ""
		h.Name, h.Linkname = strings.ReplaceAll(h.Name, out, outside), strings.ReplaceAll(h.Linkname, out, outside)
		if os.Geteuid() != 0 && h.Uid == 0 {
			h.Uid, h.Gid = os.Geteuid(), os.Getegid()
		}
		h.Format = tar.FormatPAX
		if h.Uid < 0 || h.Gid < 0 {
			h.Format = tar.FormatGNU
		}
		if h.Typeflag == tar.TypeReg && strings.HasSuffix(h.Name, "/") {
			h.Typeflag = tar.TypeCont // the writer makes a directory of a file with a slash
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
