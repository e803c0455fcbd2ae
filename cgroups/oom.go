package cgroups

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/opencontainers/cgroups/fscommon"
	"golang.org/x/sys/unix"
)

// OOMStatus tells what a node's memory limit has led to.
type OOMStatus struct {
	Kills uint64 // processes killed because the node was at its limit
	Limit uint64 // bytes; 0: none
	Peak  uint64 // bytes in use at most so far; 0: not counted (version 2 before Linux 5.19)
}

// OOM reads what the kernel counted for a node. A node without a memory limit has no group
// that counts, and gets a zero status. Processes killed in groups that the node made by itself
// are counted in version 2 only.
func (h *Host) OOM(lab, node string) (OOMStatus, error) {
	var s OOMStatus
	if err := errors.Join(checkName(lab), checkName(node)); err != nil {
		return s, fmt.Errorf("read out-of-memory status: %w", err)
	}
	hy, ok := h.find("memory")
	if !ok {
		return s, nil
	}
	dir := filepath.Join(hy.labDir(lab), node)
	events, limit, peak := "memory.oom_control", "memory.limit_in_bytes", "memory.max_usage_in_bytes"
	if hy.unified {
		events, limit, peak = "memory.events", "memory.max", "memory.peak"
	}
	var err error
	if s.Kills, err = fscommon.GetValueByKey(dir, events, "oom_kill"); err == nil {
		s.Limit, err = fscommon.GetCgroupParamUint(dir, limit)
	}
	if gone(err) {
		return OOMStatus{}, nil
	}
	if err != nil {
		return OOMStatus{}, fmt.Errorf("read out-of-memory status of %s: %w", dir, err)
	}
	// Version 1 writes "none" as the greatest multiple of a page, version 2 as "max".
	if s.Limit > math.MaxInt64-1<<16 {
		s.Limit = 0
	}
	if s.Peak, err = fscommon.GetCgroupParamUint(dir, peak); err != nil && !gone(err) {
		return OOMStatus{}, fmt.Errorf("read out-of-memory status of %s: %w", dir, err)
	}
	return s, nil
}

func gone(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) }

// OOMEvents opens the file in which the kernel counts, as "oom_kill", the processes of a node that it has killed for want of memory. It is nil where no
// group counts for the node.
func (h *Host) OOMEvents(lab, node string) (*os.File, error) {
	if err := errors.Join(checkName(lab), checkName(node)); err != nil {
		return nil, fmt.Errorf("open out-of-memory events: %w", err)
	}
	hy, ok := h.find("memory")
	if !ok {
		return nil, nil //nolint:nilnil // that is the answer
	}
	name := "memory.oom_control"
	if hy.unified {
		name = "memory.events"
	}
	f, err := os.Open(filepath.Join(hy.labDir(lab), node, name))
	if gone(err) {
		return nil, nil //nolint:nilnil // that is the answer
	}
	return f, err
}
