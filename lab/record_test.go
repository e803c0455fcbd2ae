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

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/lockfile"
	"github.com/nsnet/nsnet/internal/testenv"
)

func TestNameRE(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "demo", "A.b-c_d", "0", strings.Repeat("x", 63)} {
		if !validName(name) {
			t.Errorf("%q is refused", name)
		}
	}
	// Each would be, or lead to, a directory that is not a lab's.
	for _, name := range []string{"", ".", "..", "../etc", "a/b", ".lock", "-a", "_a", "a b", "a\n", "\na", "ä", "a\x00", strings.Repeat("x", 64)} {
		if validName(name) {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestReadRecord(t *testing.T) {
	t.Parallel()
	dir := inDir(t, "demo")
	if _, err := readRecord(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	want := record{Schema: schema, Name: "demo", InitPID: 7, Base: firstNodeID, IDs: 131072, Powers: firstID + 9, Netns: []string{"demo", "demo.a"}}
	if err := want.write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := readRecord(dir)
	if err != nil || got.Name != want.Name || got.InitPID != 7 || got.Base != want.Base || got.ids() != want.ids() || !slices.Equal(got.Netns, want.Netns) {
		t.Errorf("%+v became %+v, error %v", want, got, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("writing left %v, error %v", entries, err)
	}
	if st, err := os.Stat(filepath.Join(dir, stateFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the record is readable by others: %v, error %v", st.Mode(), err)
	}
	path := filepath.Join(dir, stateFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := readRecord(dir); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a record: %+v", n, len(whole), r)
		} else if !strings.Contains(err.Error(), path) {
			t.Fatalf("which file is damaged is not said: %v", err)
		}
	}
	writeJSON(t, path, record{Schema: schema + 1})
	if _, err := readRecord(dir); err == nil || !strings.Contains(err.Error(), "newer nsnet") {
		t.Errorf("a record of a newer version: %v", err)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		if names, err := Names(); err != nil || names != nil {
			t.Errorf("without labs: %q, error %v", names, err)
		}
		for _, n := range []string{"b", "a.b", "a"} {
			madeUp(t, record{Name: n})
		}
		for _, f := range []string{globalLock, "file"} {
			if err := os.WriteFile(filepath.Join(RunDir, f), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(RunDir, ".hidden"), 0o700); err != nil {
			t.Fatal(err)
		}
		if names, err := Names(); err != nil || !slices.Equal(names, []string{"a", "a.b", "b"}) {
			t.Errorf("got %q, error %v", names, err)
		}
	})
}

// A lab lives as long as another process holds its lock, whatever is written there.
func TestAlive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	check := func(when string, want bool) {
		t.Helper()
		if got := alive(dir); got != want {
			t.Errorf("%s: alive %v", when, got)
		}
	}
	check("without a lock", false)
	p := hold(t, dir, aliveFile, "4711\n")
	check("held", true)
	check("held, asked again", true)
	stop(t, p)
	check("when the holder has ended", false)
	stop(t, hold(t, dir, aliveFile, "not a number"))
	check("ended, damaged", false)
	p = hold(t, dir, aliveFile, "not a number")
	check("held, damaged", true)
	stop(t, p)
	// Whoever looks holds the lock for a moment, and is not taken for the lab.
	f, err := os.Open(filepath.Join(dir, aliveFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	check("looked at by another", false)
}

func TestBusy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if busy(dir) {
		t.Error("busy without a lock")
	}
	p := hold(t, dir, lockFile, "")
	if !busy(dir) {
		t.Error("not busy while another process holds the lock")
	}
	stop(t, p)
	if busy(dir) {
		t.Error("busy when the other process has ended")
	}
}

// Who waits for the host's lock while its file is removed gets that of the new file, and not one that nobody else would see.
func TestLockHost(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		t.Cleanup(func() { _ = os.RemoveAll(RunDir) })
		first, err := lockHost(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan *os.File)
		go func() {
			f, err := lockHost(t.Context())
			if err != nil {
				t.Error(err)
			}
			got <- f
		}()
		testenv.Eventually(t, 10*time.Second, "the second waits", func() bool {
			b, err := os.ReadFile("/proc/locks")
			return err == nil && strings.Contains(string(b), "->")
		})
		select {
		case <-got:
			t.Fatal("two have the lock")
		default:
		}
		if err := os.Remove(first.Name()); err != nil {
			t.Fatal(err)
		}
		first.Close()
		second := <-got
		defer second.Close()
		if !lockfile.Current(second) {
			t.Error("the second has the lock of a file that is gone")
		}
	})
}

func TestLockLab(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		t.Cleanup(func() { _ = os.RemoveAll(RunDir) })
		if _, err := lockLab(t.Context(), "demo", false, false); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a lab that is not there: %v", err)
		}
		if _, err := os.Stat(RunDir); err == nil {
			t.Error("looking for it made a directory")
		}
		for _, name := range []string{"..", "a/b", ".lock", ""} {
			if _, err := lockLab(t.Context(), name, true, false); !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: %v", name, err)
			}
		}
		l, err := lockLab(t.Context(), "demo", true, false)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(l.dir); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("the directory is %v, error %v", st, err)
		}
		if _, err := lockLab(t.Context(), "demo", true, true); !errors.Is(err, ErrBusy) {
			t.Errorf("a lab that is locked: %v", err)
		}
		other, err := lockLab(t.Context(), "other", true, true)
		if err != nil {
			t.Fatalf("another lab: %v", err)
		}
		other.unlock()
		// Who waits while the lab is removed gets the lock of a new directory, not of the old one.
		got := make(chan error, 1)
		go func() {
			l, err := lockLab(t.Context(), "demo", true, false)
			if err == nil {
				if _, serr := os.Stat(filepath.Join(l.dir, lockFile)); serr != nil || !lockfile.Current(l.lock) {
					err = fmt.Errorf("got the lock of what is gone: %w", serr)
				}
				l.unlock()
			}
			got <- err
		}()
		time.Sleep(30 * time.Millisecond)
		if err := os.RemoveAll(l.dir); err != nil {
			t.Fatal(err)
		}
		l.unlock()
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

// FAULTS 36: a nsnet that was replaced while a lab ran reads what the one before has written. A version of the record that is
// given up has no file here any more.
func TestFault36_RecordsOfOlderVersions(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/state-*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	known := map[int]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dir := inDir(t, "demo")
		if err := os.WriteFile(filepath.Join(dir, stateFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := readRecord(dir)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		known[r.Schema] = true
		// What down needs of it.
		if r.Name != "demo" || r.InitPID != 4242 || r.ids().of(0) != firstNodeID || r.ids().slots() != 66 || !r.UserNS || !r.Limits || !r.NAT || !r.Built || r.BootID == "" ||
			!slices.Equal(r.Links, []string{"ns0123456789"}) || !slices.Equal(r.Netns, []string{"demo", "demo.web"}) || !slices.Equal(r.DNS, []string{"web"}) ||
			len(r.Rules) != 1 || len(r.Rules[0].Spec) != 8 || len(r.Sysctls) != 1 || r.Sysctls[0].Old != "0" || len(r.Images) != 1 {
			t.Errorf("%s is read as %+v", file, r)
		}
	}
	for _, v := range []int{schema, schema - 1} {
		if v > 0 && !known[v] {
			t.Errorf("no file of version %d of the record", v)
		}
	}
}
