package lockfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// open opens the same file once more, as another process would.
func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestTry(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	one, two := open(t, path), open(t, path)
	if err := Try(one, Shared); err != nil {
		t.Fatal(err)
	}
	if err := Try(two, Shared); err != nil {
		t.Errorf("a second reader: %v", err)
	}
	if err := Try(one, Exclusive); !errors.Is(err, ErrHeld) {
		t.Errorf("alone, beside a reader: %v", err)
	}
	two.Close()
	// A lock that could not be had alone may be lost; it is had anew.
	if err := Try(one, Exclusive); err != nil {
		t.Errorf("alone: %v", err)
	}
	three := open(t, path)
	if err := Try(three, Shared); !errors.Is(err, ErrHeld) || !Held(three) {
		t.Errorf("a reader beside one alone: %v", err)
	}
	one.Close()
	if Held(open(t, path)) {
		t.Error("it is held by nobody")
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	one, two, three := open(t, path), open(t, path), open(t, path)
	if err := Wait(t.Context(), one, Exclusive, "the lock"); err != nil {
		t.Fatal(err)
	}
	// Who gives up closes the file, and does not get the lock behind its own back.
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
	if err := Wait(ctx, two, Exclusive, "the lock"); !errors.Is(err, cause) {
		t.Errorf("cancelled: %v", err)
	}
	two.Close()
	got := make(chan error, 1)
	go func() { got <- Wait(t.Context(), three, Exclusive, "the lock") }()
	select {
	case err := <-got:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	one.Close()
	select {
	case err := <-got:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for nobody")
	}
}

func TestCurrent(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	f := open(t, path)
	if !Current(f) {
		t.Error("it is not what it is")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if Current(f) {
		t.Error("it was removed")
	}
	open(t, path)
	if Current(f) {
		t.Error("another one has its name")
	}
}
