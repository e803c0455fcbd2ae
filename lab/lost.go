package lab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/pidfd"
	"github.com/nsnet/nsnet/lab/labinit"
)

// endLost ends lab inits of a lab whose record, or the life lock in it, was removed by hand while it lived, and reports whether there were
// any. Their names alone do not tell them from those of an nsnet that has a /run of its own, as in a container: the file that they hold for
// life does, by the file system it is in.
func endLost(ctx context.Context, name string) (found bool, err error) {
	err = eachLost(name, func(pid int) error {
		if err := failpoint.Hit("kill", "lost lab init"); err != nil {
			return err
		}
		found = true
		if err := unix.PidfdSendSignal(pid, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill: %w", err)
		}
		return pidfd.Wait(ctx, pid)
	})
	return found, err
}

// isLost reports whether a lab init of that name lives.
func isLost(name string) bool {
	found := false
	_ = eachLost(name, func(int) error { found = true; return nil })
	return found
}

// eachLost gives a pidfd of each process that is the init of a lab of a name and holds a life lock of this /run's file system.
func eachLost(name string, do func(pidfd int) error) error {
	var run unix.Stat_t
	if err := unix.Stat(filepath.Dir(RunDir), &run); err != nil {
		return fmt.Errorf("look at %s: %w", filepath.Dir(RunDir), err)
	}
	pids, err := livingInits("/proc")
	if err != nil {
		return err
	}
	var errs []error
	for pid, lab := range pids {
		if lab == name {
			errs = append(errs, ifHolds(pid, run.Dev, do))
		}
	}
	return errors.Join(errs...)
}

// ifHolds gives a process's pidfd if it holds a life lock of this file system.
func ifHolds(pid int, dev uint64, do func(pidfd int) error) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	defer unix.Close(fd)
	// Looked at after the descriptor was made: it is the process that this names.
	var held unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/fd/%d", pid, labinit.AliveFD), &held); err != nil || held.Dev != dev {
		return nil //nolint:nilerr // it has ended, or is somebody else's
	}
	return do(fd)
}

// noLab is the error of a lab that has no record, and says so where it runs all the same.
func noLab(name string) *Error {
	if isLost(name) {
		return &Error{Lab: name, Err: fmt.Errorf("%w: it runs, and what was written of it in %s was removed", ErrNotFound, dirOf(name)), Remedy: "nsnet down " + name + " ends it"}
	}
	return &Error{Lab: name, Err: ErrNotFound, Remedy: "nsnet ps lists the labs there are"}
}

// removeMarkedRules removes the rules that carry a lab's mark.
func removeMarkedRules(name string) error {
	marked, err := bridge.Marked()
	if err != nil {
		return err
	}
	var rules []bridge.Rule
	for _, r := range marked {
		if r.Lab == name {
			rules = append(rules, r.Rule)
		}
	}
	return bridge.Remove(rules)
}
