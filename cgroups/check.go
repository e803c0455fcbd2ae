package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/topology"
)

// Unsupported says that a limit cannot be enforced on this host, and why.
type Unsupported struct {
	Controller string // "memory"
	Limit      string // key in the topology file: "memory"; empty for what is no limit, as the freezer
	Reason     string // "the kernel has no memory controller"
	Remedy     string // one sentence without a full stop; may be empty
	Err        error  // what the kernel said; may be nil
}

func (e *Unsupported) Error() string {
	s := fmt.Sprintf("limit %s cannot be enforced: %s", e.Limit, e.Reason)
	if e.Limit == "" {
		s = fmt.Sprintf("the %s of the control groups cannot be used: %s", e.Controller, e.Reason)
	}
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}

func (e *Unsupported) Unwrap() error { return e.Err }

// v1Files are what the kernel has for a limit in a version 1 hierarchy's root, and the option
// it is built with.
var v1Files = map[string]struct{ file, option string }{
	"cpu":                {"cpu.cfs_quota_us", "CONFIG_CFS_BANDWIDTH"},
	"cpu_weight":         {"cpu.shares", "CONFIG_FAIR_GROUP_SCHED"},
	"memory":             {"memory.limit_in_bytes", "CONFIG_MEMCG_V1"},
	"memory_swap":        {"memory.memsw.limit_in_bytes", "CONFIG_SWAP, or started with swapaccount=0"},
	"memory_reservation": {"memory.soft_limit_in_bytes", "CONFIG_MEMCG_V1"},
	"io":                 {"blkio.throttle.read_bps_device", "CONFIG_BLK_DEV_THROTTLING"},
}

// Check tells whether all of a node's limits can be enforced here, without changing anything.
// The first that cannot is returned as an [*Unsupported].
func (h *Host) Check(l topology.Limits) error {
	for _, n := range needs(l) {
		hy, err := h.place(n)
		if err != nil {
			return err
		}
		switch n.limit {
		case "io":
			err = hy.checkWeights(l.IO)
		case "cpuset":
			err = hy.checkCPUs(l.CPUSet)
		}
		if err != nil {
			return err
		}
	}
	_, err := resources(l)
	return err
}

// place finds the hierarchy in which a limit is to be set.
func (h *Host) place(n need) (hierarchy, error) {
	bad := &Unsupported{Controller: n.controller, Limit: n.limit}
	if h.Version == None {
		bad.Reason = "no cgroup hierarchy is mounted"
		bad.Remedy = "mount one: mount -t cgroup2 none /sys/fs/cgroup"
		return hierarchy{}, bad
	}
	// A controller belongs to one hierarchy at a time: found in a version 1 hierarchy, it is
	// missing from the version 2 tree.
	hy, ok := h.find(n.v1())
	if !ok || hy.unified {
		hy, ok = h.find(n.controller)
	}
	if !ok {
		bad.Reason = "no mounted cgroup hierarchy has the " + n.controller + " controller"
		bad.Remedy = "see /proc/cgroups for what the kernel has; some need an option at boot, as cgroup_enable=memory"
		return hierarchy{}, bad
	}
	if err := hy.usable(bad); err != nil {
		return hierarchy{}, err
	}
	if f, listed := v1Files[n.limit]; listed && !hy.unified {
		if _, err := os.Stat(filepath.Join(hy.root, f.file)); err != nil {
			bad.Reason = "the kernel was built without " + f.option
			bad.Err = err
			return hierarchy{}, bad
		}
	}
	if n.limit == "memory_swap" && hy.unified {
		if _, err := os.Stat("/proc/swaps"); err != nil {
			bad.Reason = "the kernel was built without CONFIG_SWAP"
			bad.Err = err
			return hierarchy{}, bad
		}
	}
	return hy, nil
}

// usable tells with bad, filled in, why groups cannot be made in a hierarchy.
func (hy hierarchy) usable(bad *Unsupported) error {
	if hy.readOnly {
		bad.Reason = hy.root + " is mounted read-only"
		bad.Remedy = "remount it: mount -o remount,rw " + hy.root
		return bad
	}
	bad.Err = hy.writable()
	switch {
	case bad.Err == nil:
		return nil
	case errors.Is(bad.Err, unix.ENOENT):
		bad.Reason = "the hierarchy with the " + bad.Controller + " controller is mounted at " + hy.root + ", but another mount hides it"
		bad.Remedy = "mount it where it is seen"
	default:
		bad.Reason = hy.root + " is not writable by this user"
		bad.Remedy = "run as root"
	}
	return bad
}
