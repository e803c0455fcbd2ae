package cgroups

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"

	oc "github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fscommon"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
)

// Bound is what all of a lab may have together, in bytes.
type Bound struct {
	Memory int64
	Swap   int64 // beside it
}

// Unbounded is a bound that is none.
const Unbounded = -1

// memoryNeed is the controller that a lab's group is made for.
func memoryNeed() need { return need{"memory", "memory"} }

// CanBound tells why a lab's memory cannot be bounded here, with an [*Unsupported]; nil if it can.
func (h *Host) CanBound() error {
	_, err := h.place(memoryNeed())
	return err
}

// DefaultBound returns what a lab may have that says nothing: three quarters of what the machine has, and of its swap. In a container
// with a limit of memory it is three quarters of that. sysinfo(2).
func (h *Host) DefaultBound() (Bound, error) {
	var s unix.Sysinfo_t
	if err := unix.Sysinfo(&s); err != nil {
		return Bound{}, fmt.Errorf("look at the machine's memory: %w", err)
	}
	memory, swap := uint64(s.Totalram)*uint64(s.Unit), uint64(s.Totalswap)*uint64(s.Unit) //nolint:unconvert // 32 bits on some
	if hy, err := h.place(memoryNeed()); err == nil {
		// What is seen as a root has a limit only where it is not the machine's own.
		file := "memory.limit_in_bytes"
		if hy.unified {
			file = "memory.max"
		}
		if n, err := fscommon.GetCgroupParamUint(hy.root, file); err == nil {
			memory = min(memory, n)
		}
	}
	return Bound{threeQuarters(memory), threeQuarters(swap)}, nil
}

// threeQuarters of some bytes, in whole pages.
func threeQuarters(bytes uint64) int64 {
	page := uint64(os.Getpagesize())
	return int64(min(bytes/4*3/page*page, math.MaxInt64/4)) //nolint:gosec // it fits
}

// Cradle is the group in which a lab's first process is born, and with it all that descend from that. A process that were moved there would have to
// wait for a grace period of RCU, which is 7 ms: a thread that moves itself does not, and neither does clone3(2) with CLONE_INTO_CGROUP.
type Cradle struct {
	tasks string   // version 1: where a thread writes itself
	dir   *os.File // version 2
}

// MakeLab makes a lab's group, with a bound, and returns where its first process is to be born: nil where [Host.Adopt]
// is to move that once it is there, below systemd, which makes no scope without a process.
func (h *Host) MakeLab(lab string, b Bound) (*Cradle, error) {
	if err := checkName(lab); err != nil {
		return nil, fmt.Errorf("create cgroup: %w", err)
	}
	hy, err := h.place(memoryNeed())
	if err != nil || hy.systemd {
		return nil, err
	}
	dir, err := hy.makeLab(lab, b)
	if err != nil {
		return nil, err
	}
	if !hy.unified {
		return &Cradle{tasks: filepath.Join(dir, "tasks")}, nil
	}
	f, err := os.OpenFile(filepath.Join(dir, leaf), os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		hy.unmake(lab)
		return nil, fmt.Errorf("open cgroup: %w", err)
	}
	return &Cradle{dir: f}, nil
}

// Close gives up what was opened for it. The group stays.
func (c *Cradle) Close() {
	if c != nil && c.dir != nil {
		_ = c.dir.Close()
	}
}

// Enter has what the calling thread starts next with attr be born in the group. The thread itself is in it from then on where that takes it, and
// is to end without doing anything else. Nil does nothing.
func (c *Cradle) Enter(attr *syscall.SysProcAttr) error {
	switch {
	case c == nil:
		return nil
	case c.dir != nil:
		attr.UseCgroupFD, attr.CgroupFD = true, int(c.dir.Fd())
		return nil
	}
	err := failpoint.Hit("enter cgroup", filepath.Dir(c.tasks))
	if err == nil {
		err = os.WriteFile(c.tasks, []byte("0"), 0)
	}
	if err != nil {
		return fmt.Errorf("enter cgroup %s: %w", filepath.Dir(c.tasks), err)
	}
	return nil
}

// makeLab makes a lab's group in a hierarchy and sets its bound. In version 2 processes are in a leaf of it. On failure what it made
// is removed, unless somebody else is in it by then.
func (hy hierarchy) makeLab(lab string, b Bound) (dir string, err error) {
	dir = hy.labDir(lab)
	if err := hy.mkdirLab(dir); err != nil {
		hy.unmake(lab)
		return "", fmt.Errorf("create cgroup %s: %w", dir, err)
	}
	if err := hy.setBound(dir, b); err != nil {
		hy.unmake(lab)
		return "", fmt.Errorf("set the bound of cgroup %s: %w", dir, err)
	}
	return dir, nil
}

// mkdirLab makes the directory of a lab and what is above. Another lab's down may remove what all share between two steps: then it starts over.
func (hy hierarchy) mkdirLab(dir string) (err error) {
	p := part{hierarchy: hy, needs: []need{memoryNeed()}}
	for range 16 {
		if err = mkdir(dir); errors.Is(err, fs.ErrNotExist) {
			if err = mkdir(hy.parent()); err == nil || errors.Is(err, fs.ErrNotExist) {
				err = fs.ErrNotExist
				continue
			}
		}
		if err == nil && hy.unified {
			var has bool
			if has, err = p.has(dir); err == nil && !has {
				err = p.enable([]string{hy.root, hy.parent()})
			}
			if err == nil {
				err = mkdir(filepath.Join(dir, leaf))
			}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// mkdir makes a directory, or finds it made.
func mkdir(dir string) error {
	err := failpoint.Hit("mkdir", dir)
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// unmake removes a lab's group that nobody is in yet.
func (hy hierarchy) unmake(lab string) {
	_ = unix.Rmdir(filepath.Join(hy.labDir(lab), leaf))
	_ = unix.Rmdir(hy.labDir(lab))
	hy.removeParent()
}

// setBound writes a lab's bound.
func (hy hierarchy) setBound(dir string, b Bound) error {
	r := &oc.Resources{Memory: b.Memory}
	_, err := os.Stat(filepath.Join(dir, "memory.memsw.limit_in_bytes"))
	switch {
	case b.Memory == Unbounded:
		r.MemorySwap = Unbounded
	case b.Swap > 0 && (hy.unified || err == nil):
		r.MemorySwap = b.Memory + b.Swap
	}
	return part{hierarchy: hy, needs: []need{memoryNeed()}}.set(dir, r)
}

// BoundLab gives a running lab, with the pid of its init as the caller sees it, another bound. One that has no group gets one, with all its processes moved into
// it; memory that they have by then is not counted in it. Below systemd the bound is its scope's, and systemd's to keep.
func (h *Host) BoundLab(ctx context.Context, lab string, init int, b Bound) error {
	if err := checkName(lab); err != nil {
		return fmt.Errorf("bound a lab: %w", err)
	}
	ctx, stop := context.WithTimeout(ctx, updateTime)
	defer stop()
	hy, err := h.place(memoryNeed())
	if err != nil {
		return err
	}
	into := hy.labDir(lab)
	if hy.systemd {
		if err := h.Adopt(ctx, lab, init, b); err != nil {
			return err
		}
	} else if _, err := hy.makeLab(lab, b); err != nil {
		return err
	}
	if hy.unified {
		into = filepath.Join(into, leaf)
	}
	return gather(ctx, []herd{{init, into, hy.labDir(lab)}})
}

// LabMemory is what a lab's group says of its memory.
type LabMemory struct {
	Limit int64  `json:"limit_bytes"`          // of all the lab together
	Used  uint64 `json:"used_bytes"`           // with what the kernel can take back: pages of files that were read
	Peak  uint64 `json:"peak_bytes,omitempty"` // 0: not counted
	Kills uint64 `json:"oom_kills,omitempty"`  // processes that were killed at the bound, or that of a group above
}

// LabMemory reads what a lab's group has counted. Without one that has a bound it is nil.
func (h *Host) LabMemory(lab string) (*LabMemory, error) {
	if err := checkName(lab); err != nil {
		return nil, fmt.Errorf("read a lab's memory: %w", err)
	}
	hy, ok := h.find("memory")
	if !ok {
		return nil, nil //nolint:nilnil // that is the answer
	}
	dir := hy.labDir(lab)
	limit, used, peak := "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.max_usage_in_bytes"
	// What was killed in groups of nodes is told of these.
	events := [][2]string{{dir, "memory.oom_control"}}
	if hy.unified {
		limit, used, peak = "memory.max", "memory.current", "memory.peak"
		events = [][2]string{{dir, "memory.events.local"}, {filepath.Join(dir, leaf), "memory.events.local"}}
	}
	m := &LabMemory{}
	n, err := fscommon.GetCgroupParamUint(dir, limit)
	if err == nil {
		m.Used, err = fscommon.GetCgroupParamUint(dir, used)
	}
	if gone(err) || err == nil && n > math.MaxInt64-1<<16 {
		return nil, nil //nolint:nilnil,nilerr // no group, or no bound
	}
	for _, e := range events {
		kills, kerr := fscommon.GetValueByKey(e[0], e[1], "oom_kill")
		if m.Kills += kills; kerr != nil && !gone(kerr) && err == nil {
			err = kerr
		}
	}
	if m.Limit = int64(n); err == nil { //nolint:gosec // see above
		m.Peak, err = fscommon.GetCgroupParamUint(dir, peak)
	}
	if err != nil && !gone(err) {
		return nil, fmt.Errorf("read the memory of cgroup %s: %w", dir, err)
	}
	return m, nil
}
