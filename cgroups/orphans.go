package cgroups

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/nsnet/nsnet/internal/failpoint"
)

// Idle tells for how long nothing has changed in a lab's groups, and whether no process is seen in them: version 1 shows none of
// those in pid namespaces beside the caller's. For a lab without groups the error is fs.ErrNotExist.
func (h *Host) Idle(lab string) (since time.Duration, empty bool, err error) {
	if err := checkName(lab); err != nil {
		return 0, false, fmt.Errorf("look at cgroups: %w", err)
	}
	var newest time.Time
	empty = true
	for _, hy := range h.hierarchies {
		err := walk(hy.labDir(lab), func(dir string) error {
			info, err := os.Stat(dir)
			if err != nil {
				if gone(err) {
					return nil
				}
				return err
			}
			if info.ModTime().After(newest) {
				newest = info.ModTime()
			}
			pids, err := pidsIn(dir)
			empty = empty && len(pids) == 0
			return err
		})
		if err != nil {
			return 0, false, fmt.Errorf("look at cgroups of lab %s: %w", lab, err)
		}
	}
	if newest.IsZero() {
		return 0, false, fmt.Errorf("look at cgroups of lab %s: %w", lab, fs.ErrNotExist)
	}
	return time.Since(newest), empty, nil
}

// RemoveEmpty removes a lab's groups and ends nothing: one with a process in it is a [*Busy].
func (h *Host) RemoveEmpty(ctx context.Context, lab string) error {
	if err := checkName(lab); err != nil {
		return fmt.Errorf("remove cgroups: %w", err)
	}
	for _, hy := range h.hierarchies {
		if err := failpoint.Hit("remove cgroups", hy.root); err != nil {
			return err
		}
		if busy := removeTree(hy.labDir(lab)); busy != nil {
			return busy
		}
		hy.removeParent()
	}
	return h.forget(ctx, lab)
}
