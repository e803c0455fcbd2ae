package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/topology"
)

// memorySize is how much memory the machine has, in bytes. sysinfo(2).
func memorySize() (int64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, err
	}
	return int64(info.Totalram) * int64(info.Unit), nil
}

// release is the running kernel's, as uname(2) has it.
func release() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("look at the kernel's version: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// ipcSysctls sets sysctls of a new node's IPC namespace, which its init, whose pidfd this is, may do itself on kernels from Linux 6.9 on, and on older
// ones to which that was ported back. It reports whether it has. On the others the host's root alone may.
func (m *mounter) ipcSysctls(pidfd int, n *topology.Node, sysctls [][2]string) (set bool, err error) {
	if n.Privileged || len(sysctls) == 0 {
		return false, nil
	}
	if kernel, err := release(); err != nil || !olderThan(kernel, 6, 9) {
		return false, err
	}
	err = m.do(func() (err error) {
		own, err := unix.Open("/proc/thread-self/ns/ipc", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(own)
		if err := unix.Setns(pidfd, unix.CLONE_NEWIPC); err != nil {
			return fmt.Errorf("enter its ipc namespace: %w", err)
		}
		defer func() { err = errors.Join(err, unix.Setns(own, unix.CLONE_NEWIPC)) }()
		for _, kv := range sysctls {
			err := failpoint.Hit("sysctl", kv[0])
			if err == nil {
				err = os.WriteFile(filepath.Join("/proc/sys", container.SysctlPath(kv[0])), []byte(kv[1]), 0)
			}
			if errors.Is(err, unix.EACCES) {
				return nil // the namespace's root may, and nobody else
			}
			if err != nil {
				return fmt.Errorf("set sysctl %s: %w", kv[0], err)
			}
		}
		set = true
		return nil
	})
	return set, err
}
