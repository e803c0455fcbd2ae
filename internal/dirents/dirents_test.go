package dirents

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestEach reads a directory that does not fit in the buffer.
func TestEach(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := map[string]uint8{"dir": unix.DT_DIR, "link": unix.DT_LNK}
	if err := os.Mkdir(filepath.Join(dir, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("dir", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		name := fmt.Sprintf("file%d", i)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		want[name] = unix.DT_REG
	}
	for _, most := range []int{1000, 5} {
		d, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]uint8{}
		err = Each(int(d.Fd()), make([]byte, 512), func(name []byte, typ uint8) bool {
			got[string(name)] = typ
			return len(got) < most
		})
		d.Close()
		if err != nil {
			t.Fatal(err)
		}
		if most > len(want) && !maps.Equal(got, want) || most < len(want) && len(got) != most {
			t.Errorf("at most %d: %v", most, got)
		}
	}
}

func TestEachErrors(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	all := func([]byte, uint8) bool { return true }
	if err := Each(int(d.Fd()), make([]byte, 512), all); err != nil {
		t.Errorf("a removed directory: %v", err)
	}
	if err := Each(-1, make([]byte, 512), all); err == nil {
		t.Error("no directory is no error")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("0123456789abcdef\x18\x00\x08abc\x00"))
	for _, dir := range []string{".", "/proc/self/fd"} { // what two file systems say
		d, err := os.Open(dir)
		if err != nil {
			f.Fatal(err)
		}
		b := make([]byte, 4096)
		n, err := unix.Getdents(int(d.Fd()), b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:n])
		_ = d.Close()
	}
	f.Fuzz(func(t *testing.T, buf []byte) {
		decode(buf, func(name []byte, _ uint8) bool {
			if n := string(name); n == "" || n == "." || n == ".." || strings.Contains(n, "\x00") {
				t.Errorf("name %q", n)
			}
			return true
		})
	})
}
