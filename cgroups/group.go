package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	oc "github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/topology"
)

// Group is a node's group: one directory in each hierarchy that its limits need.
type Group struct {
	dirs []string
}

// part is a group's share of one hierarchy.
type part struct {
	hierarchy
	needs []need
}

// Create makes a node's group and sets its limits; without limits it makes nothing and the
// Group is empty. A group that is there already gets the limits given. On failure nothing that
// Create made is left. It is safe to call for several nodes at once.
func (h *Host) Create(lab, node string, l topology.Limits) (_ *Group, err error) {
	if err := errors.Join(checkName(lab), checkName(node)); err != nil {
		return nil, fmt.Errorf("create cgroup: %w", err)
	}
	var parts []part
	for _, n := range needs(l) {
		hy, err := h.place(n)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(parts, func(p part) bool { return p.root == hy.root })
		if i < 0 {
			i, parts = len(parts), append(parts, part{hierarchy: hy})
		}
		parts[i].needs = append(parts[i].needs, n)
	}
	if len(parts) == 0 {
		return &Group{}, nil
	}
	r, err := resources(l)
	if err != nil {
		return nil, err
	}
	var made []string
	defer func() {
		if err != nil {
			for _, d := range slices.Backward(made) {
				_ = unix.Rmdir(d) // EBUSY: another node is in it by now
			}
		}
	}()
	g := &Group{}
	for _, p := range parts {
		dirs, err := p.mkdir(lab, node)
		made = append(made, dirs...)
		if err != nil {
			return nil, fmt.Errorf("create cgroup %s: %w", filepath.Join(p.labDir(lab), node), err)
		}
		dir := filepath.Join(p.labDir(lab), node)
		if err := p.set(dir, r); err != nil {
			return nil, fmt.Errorf("set limits of cgroup %s: %w", dir, err)
		}
		g.dirs = append(g.dirs, dir)
	}
	return g, nil
}

// mkdir makes the node's directory and those above it that are missing, and in version 2
// enables the controllers all the way down. It returns what it made, top first.
func (p part) mkdir(lab, node string) (made []string, err error) {
	parents := []string{p.parent(), p.labDir(lab)}
	dir := filepath.Join(p.labDir(lab), node)
	path := append([]string{p.root}, parents...)
	if p.systemd { // what is above is not ours, and Delegate=yes has passed all controllers on
		parents, path = nil, path[2:]
	}
	// The shared parent may be removed by another lab's down between two steps: start over.
	for range 16 {
		if err = failpoint.Hit("mkdir", dir); err == nil {
			err = os.Mkdir(dir, 0o755)
		}
		if errors.Is(err, os.ErrNotExist) { // the lab's first node
			for _, d := range parents {
				if err = failpoint.Hit("mkdir", d); err == nil {
					err = os.Mkdir(d, 0o755)
				}
				if err == nil {
					made = append(made, d)
				} else if !errors.Is(err, os.ErrExist) && !errors.Is(err, os.ErrNotExist) {
					return made, err
				}
			}
			continue
		}
		if err == nil {
			made = append(made, dir)
		} else if !errors.Is(err, os.ErrExist) {
			return made, err
		}
		if !p.unified {
			err = nil
			if slices.ContainsFunc(p.needs, func(n need) bool { return n.controller == "cpuset" }) {
				err = fillCPUs(append(slices.Clone(parents), dir)...)
			}
			if !errors.Is(err, os.ErrNotExist) {
				return made, err
			}
			continue
		}
		var has bool
		if has, err = p.has(dir); err == nil && !has {
			err = p.enable(path)
		}
		if !errors.Is(err, os.ErrNotExist) {
			return made, err
		}
	}
	return made, err
}

// has tells whether dir has the needed controllers.
func (p part) has(dir string) (bool, error) {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return false, err
	}
	have := strings.Fields(string(b))
	return !slices.ContainsFunc(p.needs, func(n need) bool { return !slices.Contains(have, n.controller) }), nil
}

// enable turns the needed controllers on in all of a path, from its top, for what is below it.
func (p part) enable(path []string) error {
	var words []string
	for _, n := range p.needs {
		words = append(words, "+"+n.controller)
	}
	for _, d := range path {
		err := oc.WriteFile(d, "cgroup.subtree_control", strings.Join(words, " "))
		if errors.Is(err, unix.EBUSY) {
			return &Unsupported{Controller: p.needs[0].controller, Limit: p.needs[0].limit, Err: err,
				Reason: "processes in " + d + " keep its controllers from being passed on",
				Remedy: "move them into a child cgroup first"}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// set writes the limits of the part's controllers into dir. Each call has its own writers:
// the library's own version 1 manager shares some between all groups and is no use from
// several goroutines.
func (p part) set(dir string, r *oc.Resources) error {
	if err := failpoint.Hit("set limits", dir); err != nil {
		return err
	}
	if p.unified {
		mine := oc.Resources{}
		for _, n := range p.needs {
			n.copy(&mine, r)
		}
		if mine.Memory > 0 && mine.MemorySwap == 0 {
			mine.MemorySwap = mine.Memory
		}
		weights := mine.BlkioWeightDevice
		mine.BlkioWeightDevice = nil
		m, err := fs2.NewManager(&oc.Cgroup{Resources: &mine}, dir)
		if err != nil {
			return err
		}
		if err = m.Set(&mine); errors.Is(err, os.ErrNotExist) {
			// cgroup.controllers names a controller some time before its files are there,
			// when it is being enabled for another node. Asking again waits for that.
			if err = p.enable([]string{filepath.Dir(dir)}); err == nil {
				err = m.Set(&mine)
			}
		}
		if err != nil {
			return err
		}
		return p.setWeights(dir, weights)
	}
	for _, n := range p.needs {
		mine := oc.Resources{}
		n.copy(&mine, r)
		var err error
		switch n.controller {
		case "cpu":
			err = (&fs.CpuGroup{}).Set(dir, &mine)
		case "memory":
			if _, miss := os.Stat(filepath.Join(dir, "memory.memsw.limit_in_bytes")); miss == nil && mine.MemorySwap == 0 {
				mine.MemorySwap = mine.Memory
			}
			err = (&fs.MemoryGroup{}).Set(dir, &mine)
		case "pids":
			err = (&fs.PidsGroup{}).Set(dir, &mine)
		case "io":
			weights := mine.BlkioWeightDevice
			mine.BlkioWeightDevice = nil
			if err = (&fs.BlkioGroup{}).Set(dir, &mine); err == nil {
				err = p.setWeights(dir, weights)
			}
		case "cpuset":
			err = oc.WriteFile(dir, "cpuset.cpus", mine.CpusetCpus)
		case "hugetlb":
			err = (&fs.HugetlbGroup{}).Set(dir, &mine)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copy takes over the values that belong to one limit: in a hybrid they may go to different
// hierarchies.
func (n need) copy(to, from *oc.Resources) {
	switch n.limit {
	case "cpu":
		to.CpuQuota, to.CpuPeriod = from.CpuQuota, from.CpuPeriod
	case "cpu_weight":
		to.CpuWeight, to.CpuShares = from.CpuWeight, from.CpuShares
	case "cpuset":
		to.CpusetCpus = from.CpusetCpus
	case "memory":
		to.Memory, to.MemorySwap = from.Memory, from.MemorySwap
	case "memory_reservation":
		to.MemoryReservation = from.MemoryReservation
	case "pids":
		to.PidsLimit = from.PidsLimit
	case "io":
		to.BlkioThrottleReadBpsDevice = from.BlkioThrottleReadBpsDevice
		to.BlkioThrottleWriteBpsDevice = from.BlkioThrottleWriteBpsDevice
		to.BlkioThrottleReadIOPSDevice = from.BlkioThrottleReadIOPSDevice
		to.BlkioThrottleWriteIOPSDevice = from.BlkioThrottleWriteIOPSDevice
		to.BlkioWeightDevice = from.BlkioWeightDevice
	case "hugetlb":
		to.HugetlbLimit = from.HugetlbLimit
	}
}

// Join makes one group of two that a node has in different hierarchies.
func (g *Group) Join(other *Group) *Group {
	for _, d := range other.dirs {
		if !slices.Contains(g.dirs, d) {
			g.dirs = append(g.dirs, d)
		}
	}
	return g
}

// Dirs are the group's directories, one in each hierarchy; none for a node without limits.
func (g *Group) Dirs() []string { return slices.Clone(g.dirs) }

// Add moves a process with all its threads into the group, by its number in the caller's pid
// namespace. Do it before the process runs anything: children it already has stay outside.
func (g *Group) Add(pid int) error {
	for _, d := range g.dirs {
		err := failpoint.Hit("enter cgroup", d)
		if err == nil {
			err = oc.WriteCgroupProc(d, pid)
		}
		if err != nil {
			return fmt.Errorf("move process %d into cgroup %s: %w", pid, d, err)
		}
	}
	return nil
}
