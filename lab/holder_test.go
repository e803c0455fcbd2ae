package lab

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A lab whose up was killed while it was starting something is swept all the same, when that
// lets go of the lock.
func TestSweepWaitsForTheDead(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "flock")
		name := testenv.LabName(t)
		dir := dirOf(name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		r := record{Schema: schema, Name: name}
		if err := r.write(dir); err != nil {
			t.Fatal(err)
		}
		// A shell takes the lock and ends; what it has started keeps it for a moment.
		lock := filepath.Join(dir, lockFile)
		testenv.MustCommand(t, "sh", "-c", "exec 9<>"+lock+" && flock 9 && { sleep 0.5 >/dev/null 2>&1 & }")
		if !busy(dir) || !heldByTheDead(name) {
			t.Fatalf("busy %v, held by the dead %v", busy(dir), heldByTheDead(name))
		}
		start := time.Now()
		if err := Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left, after %v", dir, time.Since(start))
		}
	})
}

// One that is held by somebody who lives is not waited for.
func TestSweepDoesNotWaitForTheLiving(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name := testenv.LabName(t)
		dir := dirOf(name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(dir, lockFile))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		defer func() { _ = os.RemoveAll(RunDir) }()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		if heldByTheDead(name) {
			t.Error("this process is taken for dead")
		}
		if err := Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(dir); err != nil {
			t.Error("the lab was swept although somebody is at it")
		}
	})
}

// A lab init whose pid nobody has written, as its up was killed, is waited for.
func TestEndOfTheUnknown(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "flock")
		dir := dirOf(testenv.LabName(t))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(RunDir) }()
		path := filepath.Join(dir, aliveFile)
		testenv.MustCommand(t, "sh", "-c", "exec 9<>"+path+" && flock 9 && { sleep 0.5 >/dev/null 2>&1 & }")
		if !alive(dir) {
			t.Fatal("it does not live")
		}
		if _, _, err := end(t.Context(), dir, func() error { return nil }); err != nil {
			t.Error(err)
		}
		if alive(dir) {
			t.Error("it still lives")
		}
	})
}
