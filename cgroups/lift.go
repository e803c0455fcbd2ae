package cgroups

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	oc "github.com/opencontainers/cgroups"
)

// lifted is what a group without a limit has in its files, in the order of writing.
type lifted struct{ v1, v2 [][2]string }

// without is how a limit is taken back, by its key in the topology file. cpuset, io and hugetlb, which
// depend on the machine or on what is set, have no list.
func without(key string) (n need, w lifted, ok bool) {
	switch key {
	case "cpu":
		return need{"cpu", key}, lifted{[][2]string{{"cpu.cfs_quota_us", "-1"}}, [][2]string{{"cpu.max", "max 100000"}}}, true
	case "cpu_weight":
		return need{"cpu", key}, lifted{[][2]string{{"cpu.shares", "1024"}}, [][2]string{{"cpu.weight", "100"}}}, true
	case "cpuset", "io", "hugetlb":
		return need{key, key}, lifted{}, true
	case "memory":
		return need{"memory", key}, lifted{
			[][2]string{{"memory.memsw.limit_in_bytes", "-1"}, {"memory.limit_in_bytes", "-1"}},
			[][2]string{{"memory.swap.max", "max"}, {"memory.max", "max"}},
		}, true
	case "memory_reservation":
		return need{"memory", key}, lifted{[][2]string{{"memory.soft_limit_in_bytes", "-1"}}, [][2]string{{"memory.low", "0"}}}, true
	case "pids":
		return need{"pids", key}, lifted{[][2]string{{"pids.max", "max"}}, [][2]string{{"pids.max", "max"}}}, true
	}
	return need{}, lifted{}, false
}

// lift takes a limit of a node back. Without a group that has the controller there is none.
func (h *Host) lift(lab, node, key string) error {
	n, files, ok := without(key)
	if !ok {
		return fmt.Errorf("%q is no limit that can be taken back", key)
	}
	hy, err := h.place(n)
	if err != nil {
		return err
	}
	dir := filepath.Join(hy.labDir(lab), node)
	switch key {
	case "io":
		err = hy.liftIO(dir)
	case "cpuset":
		err = hy.liftCPUs(dir)
	case "hugetlb":
		err = hy.liftPages(dir)
	}
	if err != nil && !gone(err) {
		return fmt.Errorf("lift %s of cgroup %s: %w", key, dir, err)
	}
	values := files.v1
	if hy.unified {
		values = files.v2
	}
	for _, v := range values {
		// Without the file there is no group, no controller in it, or no count of swap.
		if err := oc.WriteFile(dir, v[0], v[1]); err != nil && !gone(err) {
			return fmt.Errorf("set %s of cgroup %s: %w", v[0], dir, err)
		}
	}
	return nil
}

// liftCPUs lets a group run on all processors of its parent again. Empty, as a new group has it, a list can be no more
// once there are processes.
func (hy hierarchy) liftCPUs(dir string) error {
	file := "cpuset.cpus"
	if hy.unified {
		file = "cpuset.cpus.effective"
	}
	all, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
	if err != nil {
		return err
	}
	return oc.WriteFile(dir, "cpuset.cpus", strings.TrimSpace(string(all)))
}

// liftPages takes a group's limits of huge pages back.
func (hy hierarchy) liftPages(dir string) error {
	file, none := ".limit_in_bytes", "-1"
	if hy.unified {
		file, none = ".max", "max"
	}
	for _, size := range oc.HugePageSizes() {
		for _, kind := range []string{"", ".rsvd"} {
			if err := oc.WriteFile(dir, "hugetlb."+size+kind+file, none); err != nil && !gone(err) {
				return err
			}
		}
	}
	return nil
}
