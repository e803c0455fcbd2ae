package cgroups

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// base is the directory below a hierarchy's root that all labs share.
const base = "nsnet"

// Version says which control groups a host has.
type Version string

// The versions. Hybrid is version 1 controllers beside a version 2 tree.
const (
	None   Version = "none"
	V1     Version = "v1"
	Hybrid Version = "hybrid"
	V2     Version = "v2"
)

// Host is what a host offers. It is immutable, and safe for use by several goroutines.
type Host struct {
	Version     Version
	hierarchies []hierarchy
}

// hierarchy is one mounted cgroup tree.
type hierarchy struct {
	root        string // where its root, as far as it is visible, is mounted
	unified     bool   // version 2
	readOnly    bool
	systemd     bool // version 2, and managed by systemd
	controllers []string
}

// v1Controllers are the words among a version 1 mount's options that name controllers.
var v1Controllers = []string{
	"blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory", "misc",
	"net_cls", "net_prio", "perf_event", "pids", "rdma",
}

// Probe looks at the calling process's mounts once. A host without control groups is no
// error: its Version is None.
func Probe() (*Host, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("probe cgroups: %w", err)
	}
	defer f.Close()
	hs, err := parseMountinfo(f)
	if err != nil {
		return nil, fmt.Errorf("probe cgroups: %w", err)
	}
	for i := range hs {
		if !hs[i].unified {
			continue
		}
		b, err := os.ReadFile(filepath.Join(hs[i].root, "cgroup.controllers"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("probe cgroups: %w", err)
		}
		hs[i].controllers = strings.Fields(string(b))
		hs[i].systemd = hs[i].managed()
	}
	return &Host{Version: version(hs), hierarchies: hs}, nil
}

// version classifies a host by its hierarchies. A named hierarchy without controllers, such
// as systemd's own, does not make a host version 1.
func version(hs []hierarchy) Version {
	var one, two bool
	for _, h := range hs {
		one = one || !h.unified && len(h.controllers) > 0
		two = two || h.unified
	}
	switch {
	case one && two:
		return Hybrid
	case one:
		return V1
	case two:
		return V2
	}
	return None
}

// parseMountinfo finds the cgroup mounts in a mountinfo file, proc_pid_mountinfo(5). Of several
// mounts of one hierarchy the first writable one is kept.
func parseMountinfo(r io.Reader) ([]hierarchy, error) {
	var hs []hierarchy
	index := map[string]int{} // device number of the superblock -> place in hs
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20) // one overlay mount's options can fill a page and more
	for sc.Scan() {
		mount, super, ok := strings.Cut(sc.Text(), " - ")
		if !ok {
			continue
		}
		m, s := strings.Fields(mount), strings.Fields(super)
		if len(m) < 6 || len(s) < 3 || s[0] != "cgroup" && s[0] != "cgroup2" {
			continue
		}
		superOpts := strings.Split(s[len(s)-1], ",")
		h := hierarchy{
			root:    unescape(m[4]),
			unified: s[0] == "cgroup2",
			readOnly: slices.Contains(strings.Split(m[5], ","), "ro") ||
				slices.Contains(superOpts, "ro"),
		}
		if !h.unified {
			for _, o := range superOpts {
				if slices.Contains(v1Controllers, o) {
					h.controllers = append(h.controllers, o)
				}
			}
		}
		if i, seen := index[m[2]]; seen {
			if hs[i].readOnly && !h.readOnly {
				hs[i] = h
			}
			continue
		}
		index[m[2]] = len(hs)
		hs = append(hs, h)
	}
	return hs, sc.Err()
}

// unescape undoes the octal escapes that mountinfo has for space, tab, newline and backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// Controllers names the controllers that groups can be made with, sorted.
func (h *Host) Controllers() []string {
	var names []string
	for _, hy := range h.hierarchies {
		if !hy.readOnly {
			names = append(names, hy.controllers...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// find returns the hierarchy that has a controller.
func (h *Host) find(controller string) (hierarchy, bool) {
	for _, hy := range h.hierarchies {
		if slices.Contains(hy.controllers, controller) {
			return hy, true
		}
	}
	return hierarchy{}, false
}

// findOrUnified is find for what a version 1 controller does, and every group of version 2 by itself.
func (h *Host) findOrUnified(controller string) (hierarchy, bool) {
	if hy, ok := h.find(controller); ok {
		return hy, true
	}
	for _, hy := range h.hierarchies {
		if hy.unified {
			return hy, true
		}
	}
	return hierarchy{}, false
}

// writable tells why the caller cannot make groups below a hierarchy's root, nil if it can.
func (hy hierarchy) writable() error {
	return unix.Access(hy.root, unix.W_OK)
}

// checkName keeps a name from leading out of its directory: what is below is killed and removed.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00\n") {
		return fmt.Errorf("%q is no name for a cgroup", name)
	}
	return nil
}
