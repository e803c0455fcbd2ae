package cgroups

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	oc "github.com/opencontainers/cgroups"

	"github.com/nsnet/nsnet/topology"
)

// checkCPUs tells whether a hierarchy has all processors of a list.
func (hy hierarchy) checkCPUs(list string) error {
	file := "cpuset.effective_cpus"
	if hy.unified {
		file = "cpuset.cpus.effective"
	}
	bad := &Unsupported{Controller: "cpuset", Limit: "cpuset"}
	b, err := os.ReadFile(filepath.Join(hy.root, file))
	if err != nil {
		bad.Reason, bad.Err = "the machine's processors cannot be read", err
		return bad
	}
	text := strings.TrimSpace(string(b))
	there, err := topology.ParseCPUs(text)
	if err != nil {
		bad.Reason, bad.Err = "the machine's processors, "+strconv.Quote(text)+", are no list", err
		return bad
	}
	wanted, err := topology.ParseCPUs(list)
	if err != nil {
		bad.Reason, bad.Err = err.Error(), err
		return bad
	}
	for _, c := range wanted {
		if !slices.Contains(there, c) {
			bad.Reason = "this machine has no processor " + strconv.Itoa(c)
			bad.Remedy = "it has " + text
			return bad
		}
	}
	return nil
}

// fillCPUs gives version 1 groups, from the top, the processors and memory of their parents where they have none: a
// group without takes no process. cpusets(7).
func fillCPUs(dirs ...string) error {
	for _, dir := range dirs {
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			own, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return err
			}
			if len(strings.TrimSpace(string(own))) > 0 {
				continue
			}
			from, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
			if err != nil {
				return err
			}
			if err := oc.WriteFile(dir, file, strings.TrimSpace(string(from))); err != nil {
				return err
			}
		}
	}
	return nil
}
