package sandbox

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// OwnDirs are directories that a sandbox has to itself, empty at first.
// /run/nsnet and /run/netns are on the sandbox's own /run.
func OwnDirs() []string { return []string{"/etc/netns", "/var/lib/nsnet"} }

// keep is a directory in each of OwnDirs, below the mount. Without it a "down" on the machine
// itself, or of a version that is tested elsewhere, could remove the empty mount point,
// and the kernel would take the mount off in every sandbox that runs (rmdir(2) detaches
// the mounts of other mount namespaces).
const keep = ".nsnet-sandbox"

// prepare makes the new namespaces of the calling process a small machine.
func prepare() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	if err := mountTmpfs("/run"); err != nil {
		return err
	}
	for _, dir := range OwnDirs() {
		if err := os.MkdirAll(filepath.Join(dir, keep), 0o755); err != nil {
			return fmt.Errorf("make mount point: %w", err)
		}
		if err := mountTmpfs(dir); err != nil {
			return err
		}
	}
	if err := mountSysfs(); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

func mountTmpfs(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", dir, err)
	}
	return nil
}

// mountSysfs puts a sysfs of this network namespace over the machine's, whose /sys/class/net
// shows the machine's links, and brings the control groups along.
func mountSysfs() error {
	const stage, cgroups = "/run/sysfs", "/fs/cgroup"
	if err := os.Mkdir(stage, 0o755); err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	if err := unix.Mount("sysfs", stage, "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	if err := unix.Mount("/sys"+cgroups, stage+cgroups, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind control groups: %w", err)
	}
	if err := unix.Mount(stage, "/sys", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move sysfs: %w", err)
	}
	if err := os.Remove(stage); err != nil {
		return fmt.Errorf("remove mount point: %w", err)
	}
	return nil
}
