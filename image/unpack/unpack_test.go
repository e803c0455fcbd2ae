package unpack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

func oneName(st fs.FileInfo) bool {
	s, ok := st.Sys().(*syscall.Stat_t)
	return ok && s.Nlink == 1
}

// look tells what a name of the unpacked layer is.
func look(root, name string) string {
	path := filepath.Join(root, name)
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return ""
	}
	switch {
	case isWhiteout(&st):
		return "whiteout"
	case isDir(&st):
		return "dir"
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		target, _ := os.Readlink(path)
		return "-> " + target
	}
	b, _ := os.ReadFile(path)
	return string(b)
}

func unpackEntries(t *testing.T, entries ...tar.Header) (root string, res Result) {
	t.Helper()
	root = t.TempDir()
	archive := makeTar(t, root, entries)
	res, err := Unpack(context.Background(), root, bytes.NewReader(archive), options())
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(archive)); res.DiffID != want {
		t.Errorf("the digest is %s, and not %s", res.DiffID, want)
	}
	return root, res
}

func opaqueDir(t *testing.T, path string) bool {
	t.Helper()
	marks := []string{"user.overlay.opaque"}
	if os.Geteuid() == 0 {
		marks = append(marks, "trusted.overlay.opaque")
	}
	found := 0
	for _, mark := range marks {
		var b [8]byte
		n, err := unix.Getxattr(path, mark, b[:])
		if err != nil && !errors.Is(err, unix.ENODATA) {
			t.Fatal(err)
		}
		if err == nil && string(b[:n]) == "y" {
			found++
		}
	}
	if found != 0 && found != len(marks) {
		t.Errorf("%s is opaque for one kind of overlay alone", path)
	}
	return found > 0
}

func TestOrdinaryLayer(t *testing.T) {
	t.Parallel()
	when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	file := reg("usr/bin/tool", "program")
	file.ModTime = when
	d := dir("usr/")
	d.Mode, d.ModTime = 0o750, when
	root, res := unpackEntries(t, d, file, sym("bin", "usr/bin"), reg("bin/second", "through a link"), hard("usr/again", "usr/bin/tool"),
		node("pipe", tar.TypeFifo), node("dev/sda", tar.TypeBlock), reg("without/an/entry/file", "x"))
	for name, want := range map[string]string{
		"usr/bin/tool": "program", "bin": "-> usr/bin", "usr/bin/second": "through a link", "usr/again": "program",
		"without/an/entry/file": "x", "dev/sda": "",
	} {
		if got := look(root, name); got != want {
			t.Errorf("%s is %q, and not %q", name, got, want)
		}
	}
	for _, name := range []string{"usr", "usr/bin/tool"} {
		st, err := os.Stat(filepath.Join(root, name))
		if err != nil || !st.ModTime().Equal(when) {
			t.Errorf("%s is of %v: %v", name, st.ModTime(), err)
		}
	}
	if st, _ := os.Stat(filepath.Join(root, "usr")); st.Mode().Perm() != 0o750 {
		t.Errorf("usr has mode %v", st.Mode())
	}
	if st, err := os.Lstat(filepath.Join(root, "pipe")); err != nil || st.Mode().Type() != fs.ModeNamedPipe {
		t.Errorf("pipe: %v %v", st, err)
	}
	if res.Skipped != 1 || res.Entries != 8 || res.Size != int64(len("program")+len("through a link")+1) {
		t.Errorf("the result is %+v", res)
	}
}

func TestWhiteouts(t *testing.T) {
	t.Parallel()
	root, _ := unpackEntries(t, reg("a/.wh.gone", ""), reg("own", "x"), reg(".wh.own", ""), dir("d"), reg("d/f", "x"), reg(".wh.d", ""),
		reg(".wh.e", ""), dir("e"), reg(".wh.back", ""), reg("back", "x"),
		reg("o/.wh.before", ""), reg("o/.wh..wh..opq", ""), reg("o/.wh.after", ""), reg("o/sub/.wh.deep", ""), reg("o/f", "x"), reg(".wh..wh.plnk", ""))
	for name, want := range map[string]string{
		"a/gone": "whiteout", "own": "x", "d/f": "x", "e": "dir", "back": "x",
		"o/before": "", "o/after": "", "o/sub/deep": "", "o/f": "x", "plnk": "", ".wh..wh.plnk": "", "a/.wh.gone": "",
	} {
		if got := look(root, name); got != want {
			t.Errorf("%s is %q, and not %q", name, got, want)
		}
	}
	for name, want := range map[string]bool{"a": false, "d": true, "e": true, "o": true, ".": false} {
		if got := opaqueDir(t, filepath.Join(root, name)); got != want {
			t.Errorf("%s is opaque: %v", name, got)
		}
	}
}

// Of what aufs keeps for itself nothing stays, but for files that have no other name than a hard link to it.
func TestAufs(t *testing.T) {
	t.Parallel()
	root, _ := unpackEntries(t, dir("./"), dir("./.wh..wh.aufs"), dir("./.wh..wh.orph/"), reg("./.wh..wh.orph/deleted", "x"), dir("./.wh..wh.orph/sub"), sym("./.wh..wh.orph/sub/l", "/"),
		dir("./.wh..wh.plnk/"), reg("./.wh..wh.plnk/12.34", "linked"), reg("./.wh..wh.plnk/56.78", "by nobody"), reg("./.wh..wh.plnk/.wh.x", ""), dir("./.wh..wh.plnk/d"),
		hard("./bin/one", "./.wh..wh.plnk/12.34"), hard("./bin/two", ".wh..wh.plnk/12.34"),
		reg("./bin/three", "first"), hard("./.wh..wh.plnk/90.12", "./bin/three"), hard("./bin/four", ".wh..wh.plnk/90.12"),
		reg(".wh.gone", ""), reg("o/.wh..wh..opq", ""))
	for name, want := range map[string]string{
		"bin/one": "linked", "bin/two": "linked", "bin/three": "first", "bin/four": "first", "gone": "whiteout",
		".wh..wh.aufs": "", ".wh..wh.orph": "", ".wh..wh.plnk": "",
	} {
		if got := look(root, name); got != want {
			t.Errorf("%s is %q, and not %q", name, got, want)
		}
	}
	names := func(file string) int {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(root, file), &st); err != nil {
			t.Error(err)
		}
		return int(st.Nlink)
	}
	if a, b := names("bin/one"), names("bin/three"); a != 2 || b != 2 {
		t.Errorf("the files have %d and %d names, and not two each", a, b)
	}
	if !opaqueDir(t, filepath.Join(root, "o")) {
		t.Error("o is not opaque")
	}
	all, err := os.ReadDir(root)
	if err != nil || len(all) != 3 {
		t.Errorf("in the layer: %v, %v", all, err)
	}
}

// capV2 is cap_net_raw+ep as setcap writes it, capV3 the same of another root.
func capV2() string {
	b := make([]byte, 20)
	binary.LittleEndian.PutUint32(b, 0x02000001)
	binary.LittleEndian.PutUint32(b[4:], 1<<13)
	return string(b)
}

func capV3(root uint32) string {
	b := append([]byte(capV2()), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b, 0x03000001)
	binary.LittleEndian.PutUint32(b[20:], root)
	return string(b)
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	with := func(name string, attrs map[string]string) tar.Header {
		h := reg(name, "x")
		h.PAXRecords = map[string]string{}
		for k, v := range attrs {
			h.PAXRecords["SCHILY.xattr."+k] = v
		}
		return h
	}
	setuid := reg("su", "x")
	setuid.Mode = 0o4755
	root, _ := unpackEntries(t, setuid,
		with("f", map[string]string{"user.mine": "yes", "user.overlay.opaque": "y", "user.overlay.redirect": "/", "trusted.overlay.opaque": "y", "security.selinux": "x"}),
		with("cap2", map[string]string{"security.capability": capV2()}), with("cap3", map[string]string{"security.capability": capV3(0)}),
		with("cap3other", map[string]string{"security.capability": capV3(1000)}), with("capbad", map[string]string{"security.capability": "nonsense"}))
	names := func(file string) string {
		b := make([]byte, 1024)
		n, err := unix.Listxattr(filepath.Join(root, file), b)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimRight(string(b[:n]), "\x00")
	}
	if got := names("f"); got != "user.mine" {
		t.Errorf("f has the attributes %q", got)
	}
	if st, err := os.Stat(filepath.Join(root, "su")); err != nil || st.Mode()&fs.ModeSetuid == 0 {
		t.Errorf("su lost its bit: %v %v", st.Mode(), err)
	}
	if os.Geteuid() != 0 {
		return // capabilities take root
	}
	for file, want := range map[string]string{"cap2": capV2(), "cap3": capV2(), "cap3other": "", "capbad": ""} {
		b := make([]byte, 64)
		n, err := unix.Getxattr(filepath.Join(root, file), "security.capability", b)
		if n = max(n, 0); string(b[:n]) != want {
			t.Errorf("%s has the capability %q, and not %q: %v", file, b[:n], want, err)
		}
	}
}

func TestOwners(t *testing.T) {
	t.Parallel()
	testenv.Root(t)
	h := reg("f", "x")
	h.Uid, h.Gid, h.Mode = 33, 44, 0o6755
	l := sym("l", "f")
	l.Uid, l.Gid = 33, 44
	root, _ := unpackEntries(t, h, l)
	for _, name := range []string{"f", "l"} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(root, name), &st); err != nil || st.Uid != 33 || st.Gid != 44 {
			t.Errorf("%s belongs to %d:%d: %v", name, st.Uid, st.Gid, err)
		}
		if name == "f" && st.Mode&0o7777 != 0o6755 {
			t.Errorf("f has mode %o", st.Mode)
		}
	}
}

// What chown(2) would take for "leave it", and what is no id, is refused; so is a file in what the layer says is gone.
func TestRefusedEntries(t *testing.T) {
	t.Parallel()
	testenv.Root(t)
	owned := func(uid, gid int) []tar.Header {
		h := reg("f", "x")
		h.Uid, h.Gid = uid, gid
		return []tar.Header{h}
	}
	for name, entries := range map[string][]tar.Header{
		"uid -1": owned(-1, 0), "gid -1": owned(0, -1), "uid 2^32-1": owned(math.MaxUint32, 0), "gid 2^32-1": owned(0, math.MaxUint32),
		"in a whiteout": {reg(".wh.d", ""), reg("d/f", "x")}, "in an opaque directory's mark": {reg("d/.wh..wh..opq/f", "x")},
		"a link that aufs has not": {hard("f", ".wh..wh.plnk/12.34")}, "out of aufs's links": {reg(".wh..wh.plnk/../../f", "x")}, "a link to what aufs deletes": {hard("f", ".wh..wh.orph/f")},
	} {
		o := options()
		o.KeepOwner = true
		b := makeTar(t, t.TempDir(), entries)
		if _, err := Unpack(context.Background(), t.TempDir(), bytes.NewReader(b), o); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

func gzipped(t testing.TB, write func(io.Writer)) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	write(z)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// zeros is an archive with one file of so many MiB of zeros, each of which is a member of the gzip file: that is quickly made.
func zeros(t testing.TB, mebibytes int) []byte {
	t.Helper()
	var head bytes.Buffer
	h := &tar.Header{Typeflag: tar.TypeReg, Name: "f", Size: int64(mebibytes) << 20, Mode: 0o644, Uid: os.Geteuid(), Gid: os.Getegid()}
	if err := tar.NewWriter(&head).WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	compressed := func(b []byte) []byte { return gzipped(t, func(w io.Writer) { _, _ = w.Write(b) }) }
	end := compressed(make([]byte, 1024))
	return slices.Concat(compressed(head.Bytes()), bytes.Repeat(compressed(make([]byte, 1<<20)), mebibytes), end)
}

func onDisk(t *testing.T, root string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err == nil && d.Type().IsRegular() {
			n += st.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A megabyte that becomes a gigabyte is given up early, and takes neither memory nor disk.
func TestRatio(t *testing.T) {
	t.Parallel()
	bomb := zeros(t, 256)
	root := t.TempDir()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Unpack(context.Background(), root, bytes.NewReader(bomb), options())
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrLimit) {
		t.Fatalf("%d bytes that become 256 MiB: %v", len(bomb), err)
	}
	// The documented 64 MiB, and what has been read ahead.
	if n := onDisk(t, root); n > 80<<20 {
		t.Errorf("%d MiB were written", n>>20)
	}
	if n := after.Sys - before.Sys; after.Sys > before.Sys && n > 100<<20 {
		t.Errorf("it took %d MiB of memory", n>>20)
	}
	// What is below the threshold may be as dense as it likes.
	if _, err := Unpack(context.Background(), t.TempDir(), bytes.NewReader(zeros(t, 32)), options()); err != nil {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	many := make([]tar.Header, 20)
	for i := range many {
		many[i] = dir(fmt.Sprintf("d%d", i))
	}
	for name, c := range map[string]struct {
		archive []byte
		limits  Limits
	}{
		"size":          {makeTar(t, "", []tar.Header{reg("f", strings.Repeat("x", 5000))}), Limits{Size: 4000}},
		"total":         {makeTar(t, "", []tar.Header{reg("f", strings.Repeat("x", 3000)), reg("g", strings.Repeat("x", 3000))}), Limits{Size: 6500}},
		"entries":       {makeTar(t, "", many), Limits{Entries: 19}},
		"path":          {makeTar(t, "", []tar.Header{reg("abcdefghij", "x")}), Limits{Path: 9}},
		"depth":         {makeTar(t, "", []tar.Header{reg("a/b/c/d", "x")}), Limits{Depth: 2}},
		"sparse":        {sparseBomb(t), Limits{Size: 1 << 30}},
		"sparse, ratio": {sparseBomb(t), Limits{Ratio: 200, RatioAfter: 1 << 20}},
		// Zeros behind the archive's end are part of the stream.
		"behind the end": {append(makeTar(t, "", nil), make([]byte, 10000)...), Limits{Size: 8000}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			if _, err := Unpack(context.Background(), root, bytes.NewReader(c.archive), Options{Limits: c.limits}); !errors.Is(err, ErrLimit) {
				t.Errorf("the error is %v", err)
			}
			if n := onDisk(t, root); n > 8<<20 {
				t.Errorf("%d MiB were written", n>>20)
			}
		})
	}
}

// sparseBomb is a file of GNU's sparse format: 2 KiB that claim to be a terabyte.
func sparseBomb(t *testing.T) []byte {
	t.Helper()
	archive := makeTar(t, "", []tar.Header{{Typeflag: tar.TypeReg, Name: "f", Mode: 0o644, Format: tar.FormatGNU}})
	h := archive[:512]
	copy(h[257:], "ustar  \x00") // GNU's magic
	h[156] = tar.TypeGNUSparse
	copy(h[124:], "00000000000\x00")
	copy(h[386:], "20000000000\x00") // one piece, at 2 GiB ...
	copy(h[386+12:], "00000000000\x00")
	copy(h[483:], "20000000000\x00") // ... which is the file's size
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	r := tar.NewReader(bytes.NewReader(archive))
	if got, err := r.Next(); err != nil || got.Size != 2<<30 {
		t.Fatalf("the bomb is none: %+v %v", got, err)
	}
	return archive
}

func TestCompressions(t *testing.T) {
	t.Parallel()
	archive := makeTar(t, "", []tar.Header{reg("f", "x")})
	z := gzipped(t, func(w io.Writer) { _, _ = w.Write(archive) })
	root := t.TempDir()
	res, err := Unpack(context.Background(), root, bytes.NewReader(z), options())
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(archive)); err != nil || res.DiffID != want || look(root, "f") != "x" {
		t.Errorf("gzip: %+v, %v", res, err)
	}
	for name, option := range map[string]zstd.EOption{"fast": zstd.WithEncoderLevel(zstd.SpeedFastest), "checked": zstd.WithEncoderCRC(true), "padded": zstd.WithEncoderPadding(4096)} {
		root := t.TempDir()
		res, err := Unpack(context.Background(), root, bytes.NewReader(zstandard(t, archive, option)), options())
		if want := fmt.Sprintf("sha256:%x", sha256.Sum256(archive)); err != nil || res.DiffID != want || look(root, "f") != "x" {
			t.Errorf("zstd, %s: %+v, %v", name, res, err)
		}
	}
	frame := zstandard(t, archive)
	skipped := append([]byte{0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}, frame...)
	if res, err := Unpack(context.Background(), t.TempDir(), bytes.NewReader(skipped), options()); err != nil || res.Entries != 1 {
		t.Errorf("zstd behind a frame to be skipped: %+v, %v", res, err)
	}
	for name, magic := range map[string]string{"bzip2": "BZh91AY&SY", "xz": "\xfd7zXZ\x00.."} {
		if _, err := Unpack(context.Background(), t.TempDir(), strings.NewReader(magic), options()); !errors.Is(err, ErrCompression) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{"cut gzip": z[:len(z)-9], "cut zstd": frame[:len(frame)-9], "broken zstd": append([]byte{0x28, 0xb5, 0x2f, 0xfd}, "????????"...), "cut tar": archive[:512], "noise": bytes.Repeat([]byte("noise"), 300), "broken gzip": append([]byte{0x1f, 0x8b}, "????????"...)} {
		if _, err := Unpack(context.Background(), t.TempDir(), bytes.NewReader(b), options()); err == nil {
			t.Errorf("%s was unpacked", name)
		}
	}
}

// zstandard compresses with zstd.
func zstandard(t testing.TB, b []byte, options ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

// A header of zstd can ask for a window of gigabytes, and its blocks of a few bytes stand for 128 KiB each.
func TestZstdBombs(t *testing.T) { // alone: it counts what is allocated
	const block = 128 << 10
	rle := func(window byte, blocks int) []byte {
		b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, window}
		for range blocks {
			b = append(b, byte(block<<3&0xff)|2, block<<3>>8&0xff, block<<3>>16, 0)
		}
		return append(b, 1, 0, 0)
	}
	const window8M, window64M, window1G = 13 << 3, 16 << 3, 20 << 3
	for name, c := range map[string]struct {
		archive []byte
		message string
	}{
		"window":           {rle(window1G, 1), "refers back"},
		"window of zstd's": {rle(window64M, 1), "refers back"}, // which the library would take
		"ratio":            {rle(window8M, 4096), "times as many"},
	} {
		root := t.TempDir()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		// Zeros are an archive's end; what follows it is read as well.
		_, err := Unpack(context.Background(), root, bytes.NewReader(c.archive), options())
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 100<<20 {
			t.Errorf("%s: it took %d MiB of memory", name, n>>20)
		}
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	if _, err := Unpack(ctx, t.TempDir(), bytes.NewReader(makeTar(t, "", []tar.Header{reg("f", "x")})), options()); !errors.Is(err, cause) {
		t.Errorf("the error is %v", err)
	}
}

// FuzzUnpack: whatever an archive says, nothing outside changes, and little is written.
func FuzzUnpack(f *testing.F) {
	for _, c := range breakouts() {
		f.Add(makeTar(f, "/nowhere", c.entries))
	}
	archive := makeTar(f, "", []tar.Header{dir("d"), reg("d/f", "x")})
	f.Add(gzipped(f, func(w io.Writer) { _, _ = w.Write(archive) }))
	f.Add(zstandard(f, archive))
	f.Fuzz(func(t *testing.T, archive []byte) {
		outside, root := surroundings(t)
		o := options()
		o.Limits = Limits{Size: 1 << 20, Entries: 200, Path: 1000, Depth: 20}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, _ = Unpack(ctx, root, bytes.NewReader(archive), o)
		checkCanaries(t, outside, root)
	})
}

// FuzzWhiteout: whatever follows .wh. in a name, and wherever it is, a layer that has it hides files of the layers below
// at most.
func FuzzWhiteout(f *testing.F) {
	for _, name := range []string{"", ".", "..", ".opq", ".wh..opq", ".wh..plnk", "f", "d", "d/f", "l/f", "up/canary", "f/..", "../canary", "\x00", "a b", ".wh.f", strings.Repeat("x", 255)} {
		f.Add("", name)
		f.Add("d/", name)
		f.Add("up/", name)
	}
	f.Fuzz(func(t *testing.T, at, name string) {
		outside, root := surroundings(t)
		wh := reg("x", "")
		wh.Name = at + whPrefix + name
		archive, ok := tryTar([]tar.Header{dir("d"), reg("d/f", "x"), reg("f", "x"), sym("l", "d"), sym("up", ".."), wh})
		if !ok {
			return // no archive says that
		}
		o := options()
		o.Limits.Depth = 20
		_, err := Unpack(context.Background(), root, bytes.NewReader(archive), o)
		checkCanaries(t, outside, root)
		for file, want := range map[string]string{"d/f": "x", "f": "x", "l": "-> d", "up": "-> .."} {
			if got := look(root, file); got != want {
				t.Errorf("%q took %s away: %q, %v", wh.Name, file, got, err)
			}
		}
	})
}

// tryTar is makeTar for what may not be one.
func tryTar(entries []tar.Header) ([]byte, bool) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		content := h.Uname
		h.Uname, h.Uid, h.Gid = "", os.Geteuid(), os.Getegid()
		if w.WriteHeader(&h) != nil {
			return nil, false
		}
		if _, err := w.Write([]byte(content)); err != nil {
			return nil, false
		}
	}
	return b.Bytes(), w.Close() == nil
}
