package transfer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// endless is an archive of a directory again and again, each time with records of some length.
type endless struct {
	part []byte
	left int
	used uint64 // of memory, at the end
	now  []byte
}

func (e *endless) Read(b []byte) (int, error) {
	if len(e.now) == 0 {
		if e.left--; e.left < 0 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			e.used = m.HeapAlloc
			return 0, io.ErrUnexpectedEOF
		}
		e.now = e.part
	}
	n := copy(b, e.now)
	e.now = e.now[n:]
	return n, nil
}

// directoryOf is an entry with records.
func directoryOf(t *testing.T, name string, records int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := &tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755, PAXRecords: map[string]string{"NSNET.x": strings.Repeat("x", records)}, Format: tar.FormatPAX}
	if err := errors.Join(w.WriteHeader(h), w.Flush()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// An archive without end does not fill the memory of who reads it.
func TestUnpackKeepsNoHeaders(t *testing.T) {
	begin := archiveOf(t, entry{name: ".", kind: tar.TypeDir, mode: 0o755})
	begin = begin[:len(begin)-1024]
	long := &endless{part: directoryOf(t, "d", 900<<10), left: 100}
	if err := Unpack(io.MultiReader(bytes.NewReader(begin), long), Typed, t.TempDir(), "."); err == nil || !strings.Contains(err.Error(), "says more than is asked for") {
		t.Errorf("long records: %v", err)
	}
	const n, records = 8000, maxRecords - 100
	short := &endless{part: directoryOf(t, "d", records), left: n}
	if err := Unpack(io.MultiReader(bytes.NewReader(begin), short), Typed, t.TempDir(), "."); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short records: %v", err)
	}
	if most := uint64(n * records / 4); short.used > most {
		t.Errorf("%d MiB are kept of %d", short.used>>20, n*records>>20)
	}
}

// short is a writer of no more than a MiB.
type short struct{ bytes.Buffer }

func (s *short) Write(b []byte) (int, error) {
	if s.Len()+len(b) > 1<<20 {
		return 0, errors.New("too much is written")
	}
	return s.Buffer.Write(b)
}

// Holes take room neither on the way nor where they arrive.
func TestHolesStayHoles(t *testing.T) {
	const size = 1 << 36
	dir := t.TempDir()
	for name, texts := range map[string]map[int64]string{
		"all hole":       {},
		"ends in a hole": {0: "first", 1 << 30: "middle"},
		"begins in one":  {1 << 31: "middle", size - 4: "last"},
	} {
		src := filepath.Join(dir, name)
		f, err := os.Create(src)
		if err != nil {
			t.Fatal(err)
		}
		err = f.Truncate(size)
		for at, text := range texts {
			_, werr := f.WriteAt([]byte(text), at)
			err = errors.Join(err, werr)
		}
		if err = errors.Join(err, f.Chmod(0o640), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	check := func(dst string) {
		t.Helper()
		for name, texts := range map[string]map[int64]string{"ends in a hole": {0: "first\x00", 1 << 30: "middle\x00", 1 << 29: "\x00"}, "begins in one": {0: "\x00", 1 << 31: "middle\x00", size - 4: "last"}, "all hole": {5: "\x00"}} {
			f, err := os.Open(filepath.Join(dst, name))
			if err != nil {
				t.Error(err)
				continue
			}
			var st unix.Stat_t
			if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Size != size || st.Blocks*512 > 1<<20 || st.Mode&0o777 != 0o640 {
				t.Errorf("%s: %d bytes in %d blocks, mode %o; %v", name, st.Size, st.Blocks, st.Mode, err)
			}
			for at, want := range texts {
				b := make([]byte, len(want))
				if _, err := f.ReadAt(b, at); err != nil || string(b) != want {
					t.Errorf("%s: %q at %d; %v", name, b, at, err)
				}
			}
			f.Close()
		}
	}
	dst := t.TempDir()
	var b short
	if err := Pack(&b, Typed, dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := Unpack(&b, Typed, dst, "."); err != nil {
		t.Fatal(err)
	}
	check(dst)
	single := t.TempDir()
	for _, name := range []string{"all hole", "ends in a hole", "begins in one"} { // each as what is copied itself
		b.Reset()
		if err := Pack(&b, Typed, filepath.Join(dir, name), nil); err != nil {
			t.Fatal(err)
		}
		if err := Unpack(&b, Typed, single, name); err != nil {
			t.Fatal(err)
		}
	}
	check(single)
}

// Pieces are of the file right before them, and within it.
func TestHostilePieces(t *testing.T) {
	file := func(name string, records map[string]string, text string) func(*tar.Writer) error {
		return func(w *tar.Writer) error {
			err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(text)), PAXRecords: records, Format: tar.FormatPAX})
			if err == nil {
				_, err = io.WriteString(w, text)
			}
			return err
		}
	}
	sized := func(n string) map[string]string { return map[string]string{sizeRecord: n} }
	placed := func(n string) map[string]string { return map[string]string{placeRecord: n} }
	for name, tc := range map[string][]func(*tar.Writer) error{
		"of nothing":         {file("a", placed("0"), "x")},
		"of another":         {file("a", sized("10"), ""), file("b", placed("0"), "x")},
		"of a whole file":    {file("a", nil, "text"), file("a", placed("0"), "x")},
		"beyond the end":     {file("a", sized("10"), ""), file("a", placed("10"), "x")},
		"over the end":       {file("a", sized("10"), ""), file("a", placed("9"), "xx")},
		"one over the other": {file("a", sized("10"), ""), file("a", placed("0"), "xx"), file("a", placed("1"), "x")},
		"negative":           {file("a", sized("10"), ""), file("a", placed("-1"), "x")},
		"of a negative size": {file("a", sized("-1"), "")},
		"too large":          {file("a", sized("9223372036854775807"), "")},
		"GNU's":              {file("a", map[string]string{"XNU.sparse.major": "1", "XNU.sparse.minor": "0", "XNU.sparse.name": "a", "XNU.sparse.realsize": "67108864"}, "0\n"+strings.Repeat("\x00", 510))},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		err := w.WriteHeader(&tar.Header{Name: ".", Typeflag: tar.TypeDir, Mode: 0o755, Format: tar.FormatPAX})
		for _, f := range tc {
			err = errors.Join(err, f(w))
		}
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		dst := t.TempDir()
		if err := Unpack(bytes.NewReader(bytes.ReplaceAll(b.Bytes(), []byte("XNU"), []byte("GNU"))), Typed, dst, "."); err == nil {
			t.Errorf("%s: it is accepted", name)
		}
		for _, line := range tree(t, dst) {
			if strings.Contains(line, ".nsnet-cp-") {
				t.Errorf("%s: there is left %s", name, line)
			}
		}
	}
}

// The node's end cannot be taken over by others of the node. The process that tells is one of its own.
func TestMainIsNotDumpable(t *testing.T) {
	const key = "NSNET_TEST_DUMPABLE"
	if os.Getenv(key) != "" {
		code := Main([]string{OpPack, "/dev/null"})
		dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		fmt.Printf("code %d dumpable %d %v\n", code, dumpable, err)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestMainIsNotDumpable$")
	cmd.Env = append(os.Environ(), key+"=1")
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "code 1 dumpable 0 <nil>") {
		t.Errorf("%s %v", out, err)
	}
}
