package cgroups

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
)

// Removal is tried again after 10 ms, then after twice as long each time up to 1 s, for 10 s
// in all.
const (
	firstWait = 10 * time.Millisecond
	longWait  = time.Second
	allWaits  = 10 * time.Second
)

// Busy says that a cgroup could not be removed.
type Busy struct {
	Dir  string
	PIDs []int // who is in it, as the caller's pid namespace sees them; 0 is a process outside it
	Err  error
}

func (e *Busy) Error() string {
	s := "remove cgroup " + e.Dir
	if len(e.PIDs) > 0 {
		s += fmt.Sprintf(": held by processes %v", e.PIDs)
	}
	return s + ": " + e.Err.Error()
}

func (e *Busy) Unwrap() error { return e.Err }

// ErrForeign is in a [*Busy] of a group that somebody else has, as a lab of the same name whose record is in another /run.
var ErrForeign = errors.New("somebody else has it")

// Labs names the labs that have groups, sorted, from the directories alone.
func (h *Host) Labs() ([]string, error) {
	var labs []string
	for _, hy := range h.hierarchies {
		names, err := children(hy.parent())
		if err != nil {
			return nil, fmt.Errorf("list cgroups of labs: %w", err)
		}
		for _, n := range names {
			if lab := hy.labOf(n); lab != "" {
				labs = append(labs, lab)
			}
		}
	}
	slices.Sort(labs)
	return slices.Compact(labs), nil
}

// RemoveLab removes all groups of a lab, and the parent they share with other labs when it is
// empty. Processes that are still in one get SIGKILL, frozen or not. It is no error when there
// is nothing to remove. A group that stays is reported as a [*Busy] after 10 seconds, or when
// ctx ends; one with a process that is foreign at once, with [ErrForeign], and nobody in it is killed.
func (h *Host) RemoveLab(ctx context.Context, lab string, foreign func(pid int) bool) error {
	if err := checkName(lab); err != nil {
		return fmt.Errorf("remove cgroups: %w", err)
	}
	ctx, stop := context.WithTimeout(ctx, allWaits)
	defer stop()
	left := slices.Clone(h.hierarchies)
	for wait := firstWait; ; wait = min(2*wait, longWait) {
		var last *Busy
		left = slices.DeleteFunc(left, func(hy hierarchy) bool {
			busy := removeTree(hy.labDir(lab))
			if busy != nil {
				last = busy
				return false
			}
			_ = failpoint.Hit("rmdir", hy.root)
			hy.removeParent()
			return true
		})
		if last == nil {
			return h.forget(ctx, lab)
		}
		if !errors.Is(last.Err, unix.EBUSY) {
			return last
		}
		if err := h.kill(lab, left, foreign); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			last.PIDs, _ = pidsBelow(last.Dir)
			return last
		case <-time.After(wait):
		}
	}
}

// removeParent removes what all labs share, which stays while another lab is in it. systemd's is systemd's affair.
func (hy hierarchy) removeParent() {
	if !hy.systemd {
		_ = unix.Rmdir(hy.parent())
	}
}

// forget has systemd forget a lab whose groups it managed.
func (h *Host) forget(ctx context.Context, lab string) error {
	if slices.ContainsFunc(h.hierarchies, func(hy hierarchy) bool { return hy.systemd }) {
		return endScope(ctx, lab)
	}
	return nil
}

// removeTree removes a group with all below it. It goes on after a failure and returns the last.
func removeTree(dir string) *Busy {
	err := failpoint.Hit("rmdir", dir)
	if err == nil {
		err = unix.Rmdir(dir)
	}
	switch {
	case err == nil || errors.Is(err, unix.ENOENT):
		return nil
	case !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY):
		return &Busy{Dir: dir, Err: err}
	}
	names, err := children(dir)
	if err != nil {
		return &Busy{Dir: dir, Err: err}
	}
	var last *Busy
	for _, n := range names {
		if busy := removeTree(filepath.Join(dir, n)); busy != nil {
			last = busy
		}
	}
	if last != nil {
		return last
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return &Busy{Dir: dir, Err: err}
	}
	return nil
}

// children names the groups directly below dir. One that is gone has none.
func children(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// walk calls f on dir and all groups below it.
func walk(dir string, f func(dir string) error) error {
	if err := f(dir); err != nil {
		return err
	}
	names, err := children(dir)
	for _, n := range names {
		if err := walk(filepath.Join(dir, n), f); err != nil {
			return err
		}
	}
	return err
}

// pidsBelow lists the processes in dir and all groups below it.
func pidsBelow(dir string) ([]int, error) {
	var pids []int
	err := walk(dir, func(d string) error {
		p, err := pidsIn(d)
		pids = append(pids, p...)
		return err
	})
	slices.Sort(pids)
	return slices.Compact(pids), err
}

// pidsIn lists the processes in one group.
func pidsIn(dir string) ([]int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil, nil // removed meanwhile
	}
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, f := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			return nil, fmt.Errorf("read %s/cgroup.procs: %w", dir, err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// kill sends SIGKILL to all processes in a lab's groups of some hierarchies, unless one in a hierarchy is somebody else's, or of a pid namespace
// that cannot be seen from here.
func (h *Host) kill(lab string, in []hierarchy, foreign func(pid int) bool) error {
	h.thaw(lab)
	for _, hy := range in {
		dir := hy.labDir(lab)
		pids, err := pidsBelow(dir)
		if err != nil {
			return fmt.Errorf("kill processes of cgroup %s: %w", dir, err)
		}
		if slices.Contains(pids, os.Getpid()) {
			continue // one of its threads, which is about to end, or a mistake of whoever has put it there
		}
		if i := slices.IndexFunc(pids, func(pid int) bool { return pid <= 0 || foreign(pid) }); i >= 0 {
			return &Busy{Dir: dir, PIDs: []int{pids[i]}, Err: ErrForeign}
		}
		if len(pids) == 0 {
			continue
		}
		if hy.unified && os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) == nil {
			continue // Linux 5.14; it catches what forks meanwhile, too
		}
		if err := walk(dir, killIn); err != nil {
			return fmt.Errorf("kill processes of cgroup %s: %w", dir, err)
		}
	}
	return nil
}

// thaw lets frozen processes run into their SIGKILL. A group that is not frozen, or cannot
// be, is none of its business.
func (h *Host) thaw(lab string) {
	for _, hy := range h.hierarchies {
		if hy.unified || slices.Contains(hy.controllers, "freezer") {
			_ = walk(hy.labDir(lab), func(d string) error {
				_ = hy.setFrozen(d, false)
				return nil
			})
		}
	}
}

// killIn kills the processes in one group. A pid may have passed to a stranger since it was
// read: a pidfd pins the process, and only what is still listed after that is killed.
func killIn(dir string) error {
	before, err := pidsIn(dir)
	if err != nil {
		return err
	}
	fds := map[int]int{}
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	for _, pid := range before {
		if pid <= 0 { // of a pid namespace that cannot be seen from here
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if errors.Is(err, unix.EMFILE) && len(fds) > 0 {
			break // the caller comes again for the rest
		}
		if err != nil {
			return fmt.Errorf("open process %d: %w", pid, err)
		}
		fds[pid] = fd
	}
	after, err := pidsIn(dir)
	if err != nil {
		return err
	}
	for _, pid := range after {
		fd, ok := fds[pid]
		if !ok {
			continue
		}
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill process %d: %w", pid, err)
		}
	}
	return nil
}
