package cgroups

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/cgroups/fscommon"
	"golang.org/x/sys/unix"
)

// hz is the unit of times in proc_pid_stat(5), USER_HZ: 100 wherever nsnet runs.
const hz = 100

// Usage is what a node has used so far. What is nil is not counted here.
type Usage struct {
	CPU         time.Duration
	Throttled   *time.Duration // held back by its limit of CPU
	Memory      *uint64        // bytes
	MemoryOf    MemorySource
	MemoryPeak  *uint64
	MemoryLimit *uint64 // nil: none
	Pids        uint64  // processes and threads
	PidsLimit   *uint64 // nil: none
	Read        *uint64 // bytes from block devices
	Written     *uint64
}

// MemorySource says what is counted as a node's memory.
type MemorySource string

// A group is charged with its processes' memory, the files they have read, and the kernel's
// memory for them. Without one there are the processes' own pages, each shared one divided by
// how many share it.
const (
	MemoryOfGroup     MemorySource = "group"
	MemoryOfProcesses MemorySource = "processes"
)

// Usage reads what nodes of a lab have used. A node without groups is counted by its processes:
// those that live, and by way of their parents those that were waited for. A node that has ended
// has a zero Usage.
func (h *Host) Usage(lab string, nodes ...Node) ([]Usage, error) {
	if err := checkName(lab); err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	t, err := scan()
	if err != nil {
		return nil, err
	}
	all := make([]Usage, len(nodes))
	for i, n := range nodes {
		if err := checkName(n.Name); err != nil {
			return nil, fmt.Errorf("read usage: %w", err)
		}
		if all[i], err = h.usage(lab, n.Name, t.below(n.PID)); err != nil {
			return nil, fmt.Errorf("read usage of %s/%s: %w", lab, n.Name, err)
		}
	}
	return all, nil
}

func (h *Host) usage(lab, node string, processes []process) (Usage, error) {
	var u Usage
	if len(processes) == 0 {
		return u, nil
	}
	var ticks uint64
	for _, p := range processes {
		ticks += p.ticks
		if !p.dead {
			u.Pids += p.threads
		}
	}
	u.CPU = time.Duration(ticks) * time.Second / hz
	u.Read, u.Written = ioOf(processes)
	var errs []error
	// with calls f with the group that a node has in a controller's hierarchy.
	with := func(controller string, f func(dir string, v2 bool) error) {
		hy, ok := h.find(controller)
		if !ok {
			return
		}
		if err := f(filepath.Join(hy.labDir(lab), node), hy.unified); err != nil && !gone(err) {
			errs = append(errs, err)
		}
	}
	with("cpuacct", func(dir string, _ bool) error {
		ns, err := fscommon.GetCgroupParamUint(dir, "cpuacct.usage")
		if err == nil {
			u.CPU = time.Duration(ns)
		}
		return err
	})
	with("cpu", func(dir string, v2 bool) error {
		key, unit := "throttled_time", time.Nanosecond
		if v2 {
			key, unit = "throttled_usec", time.Microsecond
			if us, err := fscommon.GetValueByKey(dir, "cpu.stat", "usage_usec"); err == nil && us > 0 {
				u.CPU = time.Duration(us) * time.Microsecond
			}
		}
		n, err := fscommon.GetValueByKey(dir, "cpu.stat", key)
		if err == nil {
			d := time.Duration(n) * unit
			u.Throttled = &d
		}
		return err
	})
	with("memory", func(dir string, v2 bool) error {
		now, peak, limit := "memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.limit_in_bytes"
		if v2 {
			now, peak, limit = "memory.current", "memory.peak", "memory.max"
		}
		var err error
		if u.Memory, err = param(dir, now); err != nil {
			return err
		}
		u.MemoryOf = MemoryOfGroup
		if u.MemoryPeak, err = param(dir, peak); err != nil && !gone(err) {
			return err // version 2 counts none before Linux 5.19
		}
		u.MemoryLimit, err = param(dir, limit)
		return err
	})
	with("pids", func(dir string, _ bool) error {
		var err error
		u.PidsLimit, err = param(dir, "pids.max")
		return err
	})
	if u.Memory == nil {
		if u.Memory = memoryOf(processes); u.Memory != nil {
			u.MemoryOf = MemoryOfProcesses
		}
	}
	return u, errors.Join(errs...)
}

// param reads a number of a group. One that stands for no limit is nil: "max", which the library
// turns into the greatest number, or in version 1 of memory the greatest multiple of a page.
func param(dir, file string) (*uint64, error) {
	n, err := fscommon.GetCgroupParamUint(dir, file)
	if err != nil || n > math.MaxInt64-1<<16 {
		return nil, err
	}
	return &n, nil
}

// memoryOf sums up the memory of processes; nil where the kernel does not tell.
func memoryOf(processes []process) *uint64 {
	var sum uint64
	for _, p := range processes {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
		if p.dead || gone(err) && len(processes) > 1 || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		kib, ok := field(b, "Pss:")
		if err != nil || !ok {
			return nil
		}
		sum += kib << 10
	}
	return &sum
}

// ioOf sums up what processes and their former children have read from block devices and written
// to them; nil where the kernel does not tell. proc_pid_io(5).
func ioOf(processes []process) (read, written *uint64) {
	var r, w uint64
	for _, p := range processes {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.pid))
		if gone(err) && len(processes) > 1 || errors.Is(err, unix.ESRCH) {
			continue
		}
		x, okRead := field(b, "read_bytes:")
		y, okWrite := field(b, "write_bytes:")
		if err != nil || !okRead || !okWrite {
			return nil, nil
		}
		r, w = r+x, w+y
	}
	return &r, &w
}

// field finds the number behind a word that begins a line.
func field(text []byte, word string) (uint64, bool) {
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), word); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				n, err := strconv.ParseUint(f[0], 10, 64)
				return n, err == nil
			}
		}
	}
	return 0, false
}
