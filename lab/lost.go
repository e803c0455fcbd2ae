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

// endLost ends lab inits of a lab whose record, or the life lock in it, was removed by hand while it lived. Their names alone
// do not tell them from those of an nsnet that has a /run of its own, as in a container: the file that they hold for life does, by
// the file system it is in.
func endLost(ctx context.Context, name string) error {
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
			errs = append(errs, endInit(ctx, pid, run.Dev))
		}
	}
	return errors.Join(errs...)
}

// endInit ends a process if it holds a life lock of this file system.
func endInit(ctx context.Context, pid int, dev uint64) error {
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
	if err := failpoint.Hit("kill", "lost lab init"); err != nil {
		return err
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill: %w", err)
	}
	return pidfd.Wait(ctx, fd)
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
