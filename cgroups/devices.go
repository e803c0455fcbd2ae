package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	oc "github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// deviceRule allows what a node may do with character devices; there are no others for it.
type deviceRule struct {
	major int
	minor int // -1: all
}

// deviceRules are the devices of a node, as the kernel numbers them in Documentation/admin-guide/devices.txt.
func deviceRules() []deviceRule {
	return []deviceRule{
		{1, 3},    // null
		{1, 5},    // zero
		{1, 7},    // full
		{1, 8},    // random
		{1, 9},    // urandom
		{5, 0},    // tty
		{5, 1},    // console
		{5, 2},    // ptmx
		{136, -1}, // pts/
		{10, 200}, // net/tun
	}
}

// CanRestrictDevices tells why nodes cannot be held to the devices of theirs here, nil if they can.
func (h *Host) CanRestrictDevices() error {
	hy, err := h.deviceHierarchy()
	if err != nil || !hy.unified {
		return err
	}
	prog, err := loadDeviceProgram(deviceRules())
	if err != nil {
		return &Unsupported{Controller: "devices", Reason: "the kernel refuses a program: " + err.Error(), Remedy: "it needs CONFIG_CGROUP_BPF", Err: err}
	}
	return unix.Close(prog)
}

// RestrictDevices makes a group in which a node can open and make no device but null, zero, full, random, urandom,
// tty, console, ptmx, pts and tun: everything else is EPERM. It is for nodes that are the host's root. All
// others cannot make devices, and open none through their mounts.
func (h *Host) RestrictDevices(lab, node string) (*Group, error) {
	if err := errors.Join(checkName(lab), checkName(node)); err != nil {
		return nil, fmt.Errorf("restrict devices: %w", err)
	}
	hy, err := h.deviceHierarchy()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(hy.labDir(lab), node)
	if _, err := (part{hierarchy: hy}).mkdir(lab, node); err != nil {
		return nil, fmt.Errorf("create cgroup %s: %w", dir, err)
	}
	if hy.unified {
		err = attachDeviceProgram(dir, deviceRules())
	} else {
		err = allowDevices(dir, deviceRules())
	}
	if err != nil {
		return nil, fmt.Errorf("restrict devices of cgroup %s: %w", dir, err)
	}
	return &Group{dirs: []string{dir}}, nil
}

// deviceHierarchy finds where devices are restricted: the controller of version 1, or any group of version 2.
func (h *Host) deviceHierarchy() (hierarchy, error) {
	bad := &Unsupported{Controller: "devices"}
	hy, ok := h.findOrUnified("devices")
	if !ok {
		bad.Reason = "no mounted cgroup hierarchy restricts devices"
		bad.Remedy = "mount one: mount -t cgroup2 none /sys/fs/cgroup"
		return hierarchy{}, bad
	}
	return hy, hy.usable(bad)
}

// allowDevices sets a version 1 group's list. Documentation/admin-guide/cgroup-v1/devices.rst.
func allowDevices(dir string, rules []deviceRule) error {
	if err := oc.WriteFile(dir, "devices.deny", "a"); err != nil {
		return err
	}
	for _, r := range rules {
		minor := "*"
		if r.minor >= 0 {
			minor = strconv.Itoa(r.minor)
		}
		if err := oc.WriteFile(dir, "devices.allow", fmt.Sprintf("c %d:%s rwm", r.major, minor)); err != nil {
			return err
		}
	}
	return nil
}

// attachDeviceProgram has a version 2 group ask a program of its own. It goes with the group.
func attachDeviceProgram(dir string, rules []deviceRule) error {
	group, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer group.Close()
	prog, err := loadDeviceProgram(rules)
	if err != nil {
		return err
	}
	defer unix.Close(prog)
	return attachProgram(int(group.Fd()), prog)
}
