package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nsnet/nsnet/consent"
	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

func TestExitCode(t *testing.T) {
	wrapped := func(err error) error {
		return fmt.Errorf("outer: %w", &lab.Error{Op: "create", Lab: "demo", Err: fmt.Errorf("inner: %w", err)})
	}
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"nil", nil, 0},
		{"anything", errors.New("x"), 1},
		{"an os error", os.ErrPermission, 1},
		{"usage", fmt.Errorf("x: %w", &usageError{}), 2},
		{"unreadable file", &fileError{err: os.ErrNotExist}, 3},
		{"invalid file", fmt.Errorf("x: %w", topology.Errors{}), 3},
		{"not found", wrapped(lab.ErrNotFound), 4},
		{"conflict", wrapped(lab.ErrConflict), 5},
		{"permission", wrapped(lab.ErrPermission), 6},
		{"unsupported", wrapped(lab.ErrUnsupported), 7},
		{"busy", wrapped(lab.ErrBusy), 8},
		{"not running", wrapped(lab.ErrNotRunning), 9},
		{"not allowed", wrapped(&consent.RefusedError{}), 13},
		{"a code of its own", wrapped(&exitError{42, lab.ErrNotFound}), 42},
		{"signal", &signalError{syscall.SIGTERM}, 143},
		{"joined", errors.Join(errors.New("x"), wrapped(lab.ErrBusy)), 8},
		{"a file's error wins over its cause", &fileError{err: lab.ErrNotFound}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			equal(t, "exit code", exitCode(tt.err), tt.want)
			equal(t, "exit code of up", commandExitCode("up", tt.err), tt.want)
		})
	}
}

func TestExitCodeOfExec(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{&usageError{}, 125},
		{lab.ErrNotFound, 125},
		{lab.ErrNotRunning, 125},
		{errors.New("x"), 125},
		{execResult(0, nil), 0},
		{execResult(4, nil), 4},
		{execResult(137, nil), 137},
		{execResult(126, errors.New("permission denied")), 126},
		{execResult(127, errors.New("not found")), 127},
		{execResult(0, lab.ErrNotRunning), 125},
		{execResult(1, lab.ErrNotFound), 125},
	} {
		equal(t, fmt.Sprint(tt.err), commandExitCode("exec", tt.err), tt.want)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	failure := errors.New("remove cgroup: busy")
	equal(t, "before the signal", interrupted(ctx, failure), failure)
	cancel(&signalError{syscall.SIGINT})
	equal(t, "success after the signal", interrupted(ctx, nil), nil)
	equal(t, "cancelled", interrupted(ctx, fmt.Errorf("create nodes: %w", context.Canceled)).Error(), "stopped by signal: interrupt")
	err := interrupted(ctx, failure)
	equal(t, "exit code", exitCode(err), 130)
	equal(t, "text", err.Error(), "stopped by signal: interrupt: remove cgroup: busy")
}

func TestReportError(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""},
		{"a silent exit", &exitError{code: 3}, ""},
		{"plain", errors.New("x"), "nsnet: x\n"},
		{"joined", errors.Join(errors.New("x"), errors.New("y")), "nsnet: x\nnsnet: y\n"},
		{"control characters", errors.New("a\x1b[2Jb\rc"), "nsnet: a\\x1b[2Jb\\rc\n"},
		{"file with a remedy", &fileError{err: errors.New("x"), remedy: "do y"}, "nsnet: x\nnsnet: do y\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			reportError(&b, tt.err)
			equal(t, "report", b.String(), tt.want)
		})
	}
}

func TestExitStatusNamesEveryCode(t *testing.T) {
	codes := exitCodes()
	if !slices.IsSorted(codes) {
		t.Errorf("not in order: %v", codes)
	}
	seen := map[string]int{}
	for _, c := range codes {
		m := exitMeaning(c)
		if other, ok := seen[m]; ok {
			t.Errorf("%d and %d mean the same: %s", other, c, m)
		}
		seen[m] = c
	}
}

// A limit that is in the way is named, with what to do.
func TestTooManyOpenFiles(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	reportError(&b, &lab.Error{Lab: "demo", Op: "read its record", Err: &os.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}})
	if got := b.String(); !strings.Contains(got, "too many open files\nnsnet: this process may have ") || !strings.Contains(got, "ulimit -n") {
		t.Errorf("it says %q", got)
	}
	b.Reset()
	reportError(&b, &lab.Error{Lab: "demo", Op: "start", Err: syscall.EMFILE, Remedy: "raise the limit of open files, ulimit -n"})
	if got := b.String(); strings.Count(got, "\n") != 1 {
		t.Errorf("and twice: %q", got)
	}
}
