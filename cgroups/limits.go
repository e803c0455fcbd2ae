package cgroups

import (
	"math"
	"strconv"
	"strings"

	oc "github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/topology"
)

const (
	period    = 100_000   // µs, what the kernel and everybody uses
	periodMax = 1_000_000 // µs, the kernel's longest
	quotaMin  = 1_000     // µs, the kernel's smallest
)

// quota turns cores into CPU time per period, both in µs, for cpu.max and cpu.cfs_quota_us.
// A share so small that its quota would be refused gets a longer period.
func quota(cores float64) (q int64, p uint64) {
	if q = int64(math.Round(cores * period)); q >= quotaMin {
		return q, period
	}
	return max(quotaMin, int64(math.Round(cores*periodMax))), periodMax
}

// shares turns a version 2 weight (1 to 10000, 100 is usual) into version 1 shares (2 to
// 262144, 1024 is usual), keeping the proportion to what is usual.
func shares(weight uint64) uint64 {
	return max(2, weight*1024/100)
}

// need is a controller that a limit depends on.
type need struct {
	controller string // version 2 name
	limit      string // key in the topology file
}

// v1 is the controller's name in version 1.
func (n need) v1() string {
	if n.controller == "io" {
		return "blkio"
	}
	return n.controller
}

func needs(l topology.Limits) []need {
	var ns []need
	if l.CPU > 0 {
		ns = append(ns, need{"cpu", "cpu"})
	}
	if l.CPUWeight > 0 {
		ns = append(ns, need{"cpu", "cpu_weight"})
	}
	if l.Memory > 0 {
		ns = append(ns, need{"memory", "memory"})
	}
	if l.Pids > 0 {
		ns = append(ns, need{"pids", "pids"})
	}
	if len(l.IO) > 0 {
		ns = append(ns, need{"io", "io"})
	}
	return ns
}

// resources puts limits into the terms of the library that writes them.
func resources(l topology.Limits) (*oc.Resources, error) {
	r := &oc.Resources{Memory: l.Memory}
	if l.CPU > 0 {
		r.CpuQuota, r.CpuPeriod = quota(l.CPU)
	}
	if l.CPUWeight > 0 {
		r.CpuWeight, r.CpuShares = l.CPUWeight, shares(l.CPUWeight)
	}
	if l.Pids > 0 {
		r.PidsLimit = &l.Pids
	}
	for _, io := range l.IO {
		major, minor, err := device(io.Device)
		if err != nil {
			return nil, err
		}
		for _, t := range []struct {
			rate int64
			to   *[]*oc.ThrottleDevice
		}{
			{io.ReadBPS, &r.BlkioThrottleReadBpsDevice},
			{io.WriteBPS, &r.BlkioThrottleWriteBpsDevice},
			{io.ReadIOPS, &r.BlkioThrottleReadIOPSDevice},
			{io.WriteIOPS, &r.BlkioThrottleWriteIOPSDevice},
		} {
			if t.rate > 0 {
				*t.to = append(*t.to, oc.NewThrottleDevice(major, minor, uint64(t.rate)))
			}
		}
	}
	return r, nil
}

// device resolves a block device given as a path or as major:minor.
func device(name string) (major, minor int64, err error) {
	if a, b, ok := strings.Cut(name, ":"); ok && !strings.Contains(name, "/") {
		x, errA := strconv.ParseUint(a, 10, 12)
		y, errB := strconv.ParseUint(b, 10, 20)
		if errA != nil || errB != nil {
			return 0, 0, &Unsupported{Controller: "io", Limit: "io", Reason: "device " + strconv.Quote(name) + " is not major:minor"}
		}
		return int64(x), int64(y), nil
	}
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return 0, 0, &Unsupported{Controller: "io", Limit: "io", Reason: "device " + name + ": " + err.Error(),
			Remedy: "lsblk lists the block devices", Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, 0, &Unsupported{Controller: "io", Limit: "io", Reason: name + " is no block device",
			Remedy: "lsblk lists the block devices"}
	}
	return int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev)), nil
}
