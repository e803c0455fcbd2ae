package cgroups

import (
	"maps"
	"math"
	"slices"
	"strings"

	oc "github.com/opencontainers/cgroups"

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
	for _, n := range []struct {
		wanted bool
		need   need
	}{
		{l.CPU > 0, need{"cpu", "cpu"}},
		{l.CPUWeight > 0, need{"cpu", "cpu_weight"}},
		{l.CPUSet != "", need{"cpuset", "cpuset"}},
		{l.Memory > 0, need{"memory", "memory"}},
		{l.MemorySwap > 0, need{"memory", "memory_swap"}},
		{l.MemoryReservation > 0, need{"memory", "memory_reservation"}},
		{l.Pids > 0, need{"pids", "pids"}},
		{len(l.IO) > 0, need{"io", "io"}},
		{len(l.HugeTLB) > 0, need{"hugetlb", "hugetlb"}},
	} {
		if n.wanted {
			ns = append(ns, n.need)
		}
	}
	return ns
}

// resources puts limits into the terms of the library that writes them.
func resources(l topology.Limits) (*oc.Resources, error) {
	r := &oc.Resources{Memory: l.Memory, MemorySwap: l.MemorySwap, MemoryReservation: l.MemoryReservation, CpusetCpus: l.CPUSet}
	if l.CPU > 0 {
		r.CpuQuota, r.CpuPeriod = quota(l.CPU)
	}
	if l.CPUWeight > 0 {
		r.CpuWeight, r.CpuShares = l.CPUWeight, shares(l.CPUWeight)
	}
	if l.Pids > 0 {
		r.PidsLimit = &l.Pids
	}
	pages, err := hugePages(l.HugeTLB)
	if err != nil {
		return nil, err
	}
	r.HugetlbLimit = pages
	for _, io := range l.IO {
		major, minor, err := disk(io.Device)
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
		if io.Weight > 0 {
			r.BlkioWeightDevice = append(r.BlkioWeightDevice, oc.NewWeightDevice(major, minor, uint16(io.Weight), 0))
		}
	}
	return r, nil
}

// hugePages puts limits of huge pages into the terms of the library, in the order of sizes.
func hugePages(limits map[string]int64) ([]*oc.HugepageLimit, error) {
	var all []*oc.HugepageLimit
	there := oc.HugePageSizes()
	for _, size := range slices.Sorted(maps.Keys(limits)) {
		name := strings.Replace(size, "iB", "B", 1) // the kernel's 2MB are 2 MiB
		if !slices.Contains(there, name) {
			return nil, &Unsupported{Controller: "hugetlb", Limit: "hugetlb", Reason: "this machine has no huge pages of " + size,
				Remedy: "those that it has are in /sys/kernel/mm/hugepages"}
		}
		all = append(all, &oc.HugepageLimit{Pagesize: name, Limit: uint64(limits[size])})
	}
	return all, nil
}
