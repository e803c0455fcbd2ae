package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/lab"
)

func TestIsFileArg(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"demo", "topology"} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("folder", 0o755); err != nil {
		t.Fatal(err)
	}
	labs := func() ([]string, error) { return []string{"demo"}, nil }
	for arg, want := range map[string]bool{
		"./demo": true, "x/y": true, "a.yaml": true, "a.yml": true, "topology": true,
		"demo": false, "other": false, "folder": false, "a.json": false,
	} {
		equal(t, arg, isFileArg(arg, labs), want)
	}
}

func TestDownAll(t *testing.T) {
	var asked []string
	down := func(_ context.Context, o lab.DownOptions) (lab.DownResult, error) {
		asked = append(asked, o.Name)
		switch o.Name {
		case "stuck":
			return lab.DownResult{}, &lab.Error{Op: "lock", Lab: o.Name, Err: lab.ErrBusy}
		case "gone":
			return lab.DownResult{Name: o.Name}, nil
		}
		return lab.DownResult{Name: o.Name, Found: true, Elapsed: 5 * time.Millisecond}, nil
	}
	names := []string{"a", "stuck", "gone", "b"}
	var err error
	stdout, stderr := captured(t, func(std stdio) { err = downAll(context.Background(), downOptions{}, names, down, std) })
	equal(t, "asked", len(asked), 4)
	equal(t, "exit code", exitCode(err), exitBusy)
	equal(t, "standard output", stdout, "a is down: removed in 5 ms\nb is down: removed in 5 ms\n")
	equal(t, "standard error", stderr, "down a\ndown stuck\ndown gone\nnsnet: lab gone: nothing to remove\ndown b\n")

	stdout, stderr = captured(t, func(std stdio) { err = downAll(context.Background(), downOptions{JSON: true}, nil, down, std) })
	equal(t, "no labs", err, nil)
	equal(t, "standard output", stdout, "[]\n")
	equal(t, "standard error", stderr, "nsnet: nothing to remove\n")
}

func TestDownAllStopsAtASignal(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	calls := 0
	down := func(context.Context, lab.DownOptions) (lab.DownResult, error) {
		calls++
		cancel(&signalError{syscall.SIGTERM})
		return lab.DownResult{}, context.Canceled
	}
	captured(t, func(std stdio) {
		err := interrupted(ctx, downAll(ctx, downOptions{}, []string{"a", "b"}, down, std))
		equal(t, "exit code", exitCode(err), 143)
	})
	equal(t, "calls", calls, 1)
}

func TestInspectAll(t *testing.T) {
	broken := errors.New("read record: bad")
	labs, err := inspectAll(context.Background(), []string{"a", "gone", "broken", "b"}, func(_ context.Context, name string) (*lab.Status, error) {
		switch name {
		case "gone":
			return nil, &lab.Error{Lab: name, Err: lab.ErrNotFound}
		case "broken":
			return nil, broken
		}
		return &lab.Status{Name: name}, nil
	})
	equal(t, "labs", len(labs), 2)
	equal(t, "error", errors.Is(err, broken), true)
	// One that takes its time holds up no other: each here waits for all.
	var all sync.WaitGroup
	all.Add(3)
	labs, err = inspectAll(context.Background(), []string{"c", "a", "b"}, func(_ context.Context, name string) (*lab.Status, error) {
		all.Done()
		all.Wait()
		return &lab.Status{Name: name}, nil
	})
	equal(t, "all side by side, in order", err == nil && len(labs) == 3 && labs[0].Name == "c" && labs[2].Name == "b", true)
	labs, err = inspectAll(context.Background(), nil, nil)
	equal(t, "an empty list is no null", labs != nil && err == nil, true)
}

func TestWithSignals(t *testing.T) {
	ctx, stop := withSignals(context.Background())
	defer stop()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	equal(t, "exit code", exitCode(interrupted(ctx, ctx.Err())), 143)
}
