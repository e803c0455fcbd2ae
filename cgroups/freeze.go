package cgroups

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	freezeTime = 10 * time.Second     // after which a node cannot be frozen
	freezeLook = 2 * time.Millisecond // between two looks whether it is
)

// freezer finds the hierarchy to freeze nodes in. In version 2 every group can be frozen.
func (h *Host) freezer() (hierarchy, error) {
	bad := &Unsupported{Controller: "freezer"}
	hy, ok := h.findOrUnified("freezer")
	if !ok {
		bad.Reason = "no mounted cgroup hierarchy has a freezer"
		bad.Remedy = "mount one: mount -t cgroup2 none /sys/fs/cgroup"
		return hierarchy{}, bad
	}
	return hy, hy.usable(bad)
}

// CanFreeze tells why nodes cannot be frozen here, nil if they can.
func (h *Host) CanFreeze() error {
	_, err := h.freezer()
	return err
}

// Freeze stops all processes of a lab's nodes, wherever they are in the course of things, until
// [Host.Thaw]. A node gets a group for it, which it keeps. When that fails, some may be frozen.
//
// The group is frozen before the processes are moved into it: one that has come in does not fork
// any more. A version 1 group in which processes appear can stay FREEZING, and is told again.
func (h *Host) Freeze(ctx context.Context, lab string, nodes ...Node) error {
	hy, err := h.freezer()
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, freezeTime)
	defer stop()
	dirs, herds := make([]string, len(nodes)), make([]herd, len(nodes))
	for i, n := range nodes {
		if err := errors.Join(checkName(lab), checkName(n.Name)); err != nil {
			return fmt.Errorf("freeze: %w", err)
		}
		dirs[i] = filepath.Join(hy.labDir(lab), n.Name)
		herds[i] = herd{n.PID, dirs[i], dirs[i]}
		if _, err := (part{hierarchy: hy}).mkdir(lab, n.Name); err != nil {
			return fmt.Errorf("create cgroup %s: %w", dirs[i], err)
		}
		if err := hy.setFrozen(dirs[i], true); errors.Is(err, os.ErrNotExist) && hy.unified {
			return &Unsupported{Controller: "freezer", Reason: "the kernel cannot freeze a version 2 group", Remedy: "it needs Linux 5.2", Err: err}
		} else if err != nil {
			return fmt.Errorf("freeze cgroup %s: %w", dirs[i], err)
		}
	}
	if err := gather(ctx, herds); err != nil {
		return err
	}
	for _, dir := range dirs {
		for {
			done, err := hy.isFrozen(dir)
			if err != nil {
				return fmt.Errorf("freeze cgroup %s: %w", dir, err)
			}
			if done {
				break
			}
			if err := pause(ctx, freezeLook); err != nil {
				return fmt.Errorf("freeze cgroup %s: a process in it does not stop: %w", dir, err)
			}
			if err := hy.setFrozen(dir, true); err != nil {
				return fmt.Errorf("freeze cgroup %s: %w", dir, err)
			}
		}
	}
	return nil
}

// Thaw lets nodes go on. One that is not frozen, or has no group, is left as it is.
func (h *Host) Thaw(lab string, nodes ...string) error {
	hy, err := h.freezer()
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range nodes {
		if err := errors.Join(checkName(lab), checkName(n)); err != nil {
			return fmt.Errorf("thaw: %w", err)
		}
		dir := filepath.Join(hy.labDir(lab), n)
		if err := hy.setFrozen(dir, false); err != nil && !gone(err) {
			errs = append(errs, fmt.Errorf("thaw cgroup %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// ThawLab lets all of a lab's processes run into the SIGKILL they have got, those in groups that
// the nodes have made, too: frozen in a version 1 group, a process does not even begin to die.
func (h *Host) ThawLab(lab string) error {
	if err := checkName(lab); err != nil {
		return fmt.Errorf("thaw: %w", err)
	}
	h.thaw(lab)
	return nil
}

// setFrozen tells a group to freeze or to thaw, which takes a moment.
func (hy hierarchy) setFrozen(dir string, frozen bool) error {
	file, word := "freezer.state", "THAWED"
	switch {
	case hy.unified && frozen:
		file, word = "cgroup.freeze", "1"
	case hy.unified:
		file, word = "cgroup.freeze", "0"
	case frozen:
		word = "FROZEN"
	}
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(word)
	return errors.Join(err, f.Close())
}

// isFrozen tells whether nothing in a group runs any more. With nothing in it, it is frozen.
func (hy hierarchy) isFrozen(dir string) (bool, error) {
	file, word := "freezer.state", "FROZEN"
	if hy.unified {
		file, word = "cgroup.events", "frozen 1"
	}
	b, err := os.ReadFile(filepath.Join(dir, file))
	return slices.Contains(strings.Split(string(b), "\n"), word), err
}
