package topology

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// minMemory is the least memory limit: a node's init takes 2.2 MiB once a command runs, and dies with less.
const minMemory = 4 << 20

// minSoftMemory is the least of the other sizes of memory, which kill nobody.
const minSoftMemory = 1 << 20

// MinPids is the least limit of processes and threads: the node's init is seven of them once a command runs.
const MinPids = 8

// maxPids is the kernel's greatest, PID_MAX_LIMIT.
const maxPids = 1 << 22

// minCores is the least limit of processor time, in cores: the kernel's smallest quota, 1 ms, in its longest period, 1 s.
// sched-bwc.rst in the kernel's documentation.
const minCores = 0.001

// maxIOWeight is the greatest weight that every kernel's scheduler takes.
const maxIOWeight = 1000

// minLabMemory is the least limit of a lab's memory: its init takes 12 MiB.
const minLabMemory = 64 << 20

func labLimitKeys() []keyDef[LabLimits] {
	return []keyDef[LabLimits]{
		{"memory", func(d *decoder, l *LabLimits, n *yaml.Node) {
			if d.in(n).Value == "max" {
				l.Memory = AllMemory
				return
			}
			l.Memory, _ = d.size(n, "memory", minLabMemory)
		}},
	}
}

func limitKeys() []keyDef[Limits] {
	return []keyDef[Limits]{
		{"cpu", func(d *decoder, l *Limits, n *yaml.Node) { l.CPU, _ = d.number(n, "cpu", minCores, maxCPU+1) }},
		{"cpu_weight", func(d *decoder, l *Limits, n *yaml.Node) {
			v, _ := d.integer(n, "cpu_weight", 1, 10000)
			l.CPUWeight = uint64(v)
		}},
		{"cpuset", func(d *decoder, l *Limits, n *yaml.Node) { l.CPUSet = d.cpuset(n) }},
		{"memory", func(d *decoder, l *Limits, n *yaml.Node) { l.Memory, _ = d.size(n, "memory", minMemory) }},
		{"memory_swap", func(d *decoder, l *Limits, n *yaml.Node) {
			l.MemorySwap, _ = d.size(n, "memory_swap", minSoftMemory)
		}},
		{"memory_reservation", func(d *decoder, l *Limits, n *yaml.Node) {
			l.MemoryReservation, _ = d.size(n, "memory_reservation", minSoftMemory)
		}},
		{"pids", func(d *decoder, l *Limits, n *yaml.Node) {
			if d.in(n).Value == "max" {
				l.Pids = AllPids
				return
			}
			l.Pids, _ = d.integer(n, "pids", MinPids, maxPids)
		}},
		{"io", func(d *decoder, l *Limits, n *yaml.Node) {
			if items, ok := d.list(n, "io"); ok {
				l.IO = each(d, items, d.ioLimit)
			}
		}},
		{"hugetlb", func(d *decoder, l *Limits, n *yaml.Node) { l.HugeTLB = d.hugetlb(n) }},
	}
}

func ioKeys() []keyDef[IOLimit] {
	return []keyDef[IOLimit]{
		{"device", func(d *decoder, l *IOLimit, n *yaml.Node) { l.Device = d.checked(n, "device", validateDevice).v }},
		{"read_bps", func(d *decoder, l *IOLimit, n *yaml.Node) { l.ReadBPS, _ = d.size(n, "read_bps", 1) }},
		{"write_bps", func(d *decoder, l *IOLimit, n *yaml.Node) { l.WriteBPS, _ = d.size(n, "write_bps", 1) }},
		{"read_iops", func(d *decoder, l *IOLimit, n *yaml.Node) {
			l.ReadIOPS, _ = d.integer(n, "read_iops", 1, math.MaxInt64)
		}},
		{"write_iops", func(d *decoder, l *IOLimit, n *yaml.Node) {
			l.WriteIOPS, _ = d.integer(n, "write_iops", 1, math.MaxInt64)
		}},
		{"weight", func(d *decoder, l *IOLimit, n *yaml.Node) {
			v, _ := d.integer(n, "weight", 1, maxIOWeight)
			l.Weight = uint64(v)
		}},
	}
}

func (d *decoder) ioLimit(n *yaml.Node) (IOLimit, bool) {
	var l IOLimit
	before := len(d.errs) + d.more
	ok := decodeKeys(d, n, "an item of io", &l, ioKeys())
	if len(d.errs)+d.more != before {
		return l, false
	}
	if ok && l.Device == "" {
		d.errorf(n, "device is missing")
		return l, false
	}
	if ok && l == (IOLimit{Device: l.Device}) {
		d.errorf(n, "a limit is missing: read_bps, write_bps, read_iops, write_iops or weight")
		return l, false
	}
	return l, ok
}

// validateDevice tells whether s is a block device as a path or as MAJOR:MINOR.
func validateDevice(s string) error {
	if filepath.IsAbs(s) {
		return nil
	}
	major, minor, ok := strings.Cut(s, ":")
	if !ok || !isDigits(major) || !isDigits(minor) {
		return fmt.Errorf("is neither an absolute path nor MAJOR:MINOR")
	}
	return nil
}

// cpuset takes a list of processors as the kernel writes it, 0-2,5, or the number of one.
func (d *decoder) cpuset(n *yaml.Node) string {
	at := d.in(n)
	if at.Kind != yaml.ScalarNode || isNull(at) {
		d.errorf(n, "cpuset must be a list of processors such as 0-2,5, not %s", typeName(at))
		return ""
	}
	cpus, err := ParseCPUs(at.Value)
	if err != nil {
		d.errorf(n, "cpuset must be a list of processors such as 0-2,5, not %q: %v", at.Value, err)
		return ""
	}
	return formatCPUs(cpus)
}

// maxCPU is the highest number of a processor that any kernel can be built for.
const maxCPU = 8191

// ParseCPUs reads a list of processors as the kernel writes it, "0-2,5". The numbers are sorted, each there once.
func ParseCPUs(s string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(strings.TrimSpace(s), ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			to = from
		}
		a, errA := strconv.ParseUint(from, 10, 16)
		b, errB := strconv.ParseUint(to, 10, 16)
		switch {
		case errA != nil || errB != nil:
			return nil, fmt.Errorf("%q is neither a number nor a range", part)
		case a > b:
			return nil, fmt.Errorf("%q ends before it begins", part)
		case b > maxCPU:
			return nil, fmt.Errorf("there is no processor %d", b)
		}
		for c := a; c <= b; c++ {
			cpus = append(cpus, int(c))
		}
	}
	slices.Sort(cpus)
	return slices.Compact(cpus), nil
}

// formatCPUs writes sorted processors as the kernel does.
func formatCPUs(cpus []int) string {
	var parts []string
	for i := 0; i < len(cpus); {
		j := i
		for j+1 < len(cpus) && cpus[j+1] == cpus[j]+1 {
			j++
		}
		part := strconv.Itoa(cpus[i])
		if j > i {
			part += "-" + strconv.Itoa(cpus[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// hugetlb takes a mapping from the size of a page to an amount. Sizes become as people write them: 2MiB.
func (d *decoder) hugetlb(n *yaml.Node) map[string]int64 {
	es, ok := d.entries(n, "hugetlb")
	if !ok {
		return nil
	}
	m := make(map[string]int64, len(es))
	for _, e := range es {
		page, err := parseSize(e.key)
		if err != nil || page < 1<<10 || page&(page-1) != 0 {
			d.errorf(e.k, "%q is not the size of a huge page, such as 2MiB or 1GiB", e.key)
			continue
		}
		name := pageName(page)
		if _, twice := m[name]; twice {
			d.errorf(e.k, "pages of %s are limited already", name)
			continue
		}
		if v, ok := d.size(e.v, "hugetlb "+e.key, page); ok {
			m[name] = v
		}
	}
	return m
}

// pageName writes the size of a page, a power of two from 1 KiB on.
func pageName(bytes int64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	i, size := 0, bytes>>10
	for size >= 1024 && i < len(units)-1 {
		i, size = i+1, size>>10
	}
	return strconv.FormatInt(size, 10) + units[i]
}

// or is what a node is limited to with the defaults' limits, those of its own winning.
func (l Limits) or(def Limits) Limits {
	l.CPU = orZero(l.CPU, def.CPU)
	l.CPUWeight = orZero(l.CPUWeight, def.CPUWeight)
	l.CPUSet = orZero(l.CPUSet, def.CPUSet)
	l.Memory = orZero(l.Memory, def.Memory)
	l.MemorySwap = orZero(l.MemorySwap, def.MemorySwap)
	l.MemoryReservation = orZero(l.MemoryReservation, def.MemoryReservation)
	l.Pids = orZero(l.Pids, def.Pids)
	l.IO = orList(l.IO, def.IO)
	if l.HugeTLB == nil {
		l.HugeTLB = maps.Clone(def.HugeTLB)
	}
	if len(l.HugeTLB) == 0 {
		l.HugeTLB = nil
	}
	return l
}

func orZero[T comparable](own, def T) T {
	var zero T
	if own == zero {
		return def
	}
	return own
}
