package cgroups

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/topology"
)

// Holds tells whether a node's init is where limits of it are set: in the node's group, in each hierarchy
// that these limits need. It is not when somebody has removed the group or moved the process.
func (h *Host) Holds(lab string, n Node, l topology.Limits) (bool, error) {
	for _, need := range needs(l) {
		hy, err := h.place(need)
		if err != nil {
			return false, err
		}
		pids, err := pidsBelow(filepath.Join(hy.labDir(lab), n.Name))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("look into the control group: %w", err)
		}
		if !slices.Contains(pids, n.PID) {
			return false, nil
		}
	}
	return true, nil
}

// RemoveNode removes the group of a node that has ended. What it leaves to the kernel for some time, a process
// that is on its way out, is waited for like in RemoveLab.
func (h *Host) RemoveNode(ctx context.Context, lab, node string) error {
	if err := errors.Join(checkName(lab), checkName(node)); err != nil {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	ctx, stop := context.WithTimeout(ctx, allWaits)
	defer stop()
	for _, hy := range h.hierarchies {
		dir := filepath.Join(hy.labDir(lab), node)
		for wait := firstWait; ; wait = min(2*wait, longWait) {
			busy := removeTree(dir)
			if busy == nil {
				break
			}
			if !errors.Is(busy.Err, unix.EBUSY) {
				return busy
			}
			select {
			case <-ctx.Done():
				busy.PIDs, _ = pidsBelow(busy.Dir)
				return busy
			case <-time.After(wait):
			}
		}
	}
	return nil
}
