package labinit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/failpoint"
)

// enterRoot leaves the host's mounts for a root of the lab's own: a tmpfs with fresh proc
// and sysfs, which nodes need to see so that they may mount theirs, and device nodes.
func enterRoot(devs int) error {
	err := failpoint.Hit("mount", "private")
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err != nil {
		return &buildError{op: "make mounts private", err: err}
	}
	tree, err := newRoot(devs)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	if err := unix.Fchdir(tree); err != nil {
		return &buildError{op: "enter the lab's root", err: err}
	}
	if err = failpoint.Hit("pivot_root", ""); err == nil {
		err = unix.PivotRoot(".", ".")
	}
	if err != nil {
		return &buildError{op: "enter the lab's root: pivot_root", err: err}
	}
	if err = failpoint.Hit("unmount", "the host's root"); err == nil {
		err = unix.Unmount(".", unix.MNT_DETACH)
	}
	if err != nil {
		return &buildError{op: "leave the host's root", err: err}
	}
	if err := unix.Chdir("/"); err != nil {
		return &buildError{op: "enter the lab's root", err: err}
	}
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return &buildError{op: "make the lab's root read-only", err: err}
	}
	return nil
}

// newRoot mounts the lab's root over /tmp and returns its directory.
func newRoot(devs int) (int, error) {
	const at = "/tmp"
	err := failpoint.Hit("mount", at)
	if err == nil {
		err = unix.Mount("nsnet", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755")
	}
	if err != nil {
		return -1, &buildError{op: "mount the lab's root", object: at, err: err}
	}
	dir, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &buildError{op: "open the lab's root", err: err}
	}
	for _, d := range []string{container.Work, container.Devices, container.Empty, "/proc", "/sys"} {
		if err := unix.Mkdir(at+d, 0o755); err != nil {
			return -1, &buildError{op: "create directory", object: d, err: err}
		}
	}
	const flags = unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}} {
		if err = failpoint.Hit("mount", m[0]); err == nil {
			err = unix.Mount(m[0], at+m[1], m[0], flags, "")
		}
		if err != nil {
			if errors.Is(err, unix.EPERM) {
				err = fmt.Errorf("%w: the kernel refuses a fresh %s here because the host's own is partly hidden, as it is inside a container", err, m[0])
			}
			return -1, &buildError{op: "mount", object: m[0], err: err}
		}
	}
	if err = failpoint.Hit("mount", "devices"); err != nil {
		return -1, &buildError{op: "attach the device nodes", err: err}
	}
	err = unix.MoveMount(devs, "", unix.AT_FDCWD, at+container.Devices, unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err != nil {
		return -1, &buildError{op: "attach the device nodes", err: err}
	}
	return dir, nil
}

// quietFabric turns off in the fabric what only costs there: IPv6 of its own, and the
// host's packet filter hooks for bridged traffic.
func quietFabric() error {
	for path, value := range map[string]string{
		"net/ipv6/conf/all/disable_ipv6":      "1",
		"net/ipv6/conf/default/disable_ipv6":  "1",
		"net/bridge/bridge-nf-call-iptables":  "0",
		"net/bridge/bridge-nf-call-ip6tables": "0",
		"net/bridge/bridge-nf-call-arptables": "0",
	} {
		err := failpoint.Hit("sysctl", path)
		if err == nil {
			err = os.WriteFile("/proc/sys/"+path, []byte(value), 0)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &buildError{op: "set sysctl", object: path, err: err}
		}
	}
	return nil
}

// unlike returns those of sysctls that a new network namespace, as the fabric still is, has
// otherwise. What this kernel has not, IPv6 above all, is left out.
func unlike(sysctls [][2]string) [][2]string {
	var out [][2]string
	for _, kv := range sysctls {
		b, err := os.ReadFile("/proc/sys/" + container.SysctlPath(kv[0]))
		if err == nil && strings.TrimSpace(string(b)) != kv[1] {
			out = append(out, kv)
		}
	}
	return out
}

// hasIPv6 reports whether this kernel has IPv6: booted with ipv6.disable=1 it has none, for any network namespace.
func hasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6/conf/default")
	return err == nil
}
