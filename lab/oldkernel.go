package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
)

// checkKernel refuses kernels on which no node can have a root, before anything is changed:
// overlayfs takes idmapped layers from Linux 5.19 on. A kernel that says it is older is asked, as
// distributions port features back; a newer one is believed, for asking costs a process.
func (b *builder) checkKernel() error {
	release, err := release()
	if err != nil {
		return err
	}
	if !olderThan(release, 5, 19) {
		return nil
	}
	m, err := newMounter(b.dir)
	if err != nil {
		return &Error{Op: "prepare", Err: err}
	}
	defer m.close()
	if err := m.do(m.tryIdmappedLayer); err != nil {
		return &Error{Err: fmt.Errorf("%w: overlays over idmapped mounts, which every node's root is, need Linux 5.19; this is %s: %w", ErrUnsupported, release, err),
			Remedy: "boot a newer kernel"}
	}
	return nil
}

// olderThan tells whether a release, as uname(2) has it, is of a kernel older than this version.
// What has no version in front is not.
func olderThan(release string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n < 2 {
		return false
	}
	return a < major || a == major && b < minor
}

// tryIdmappedLayer mounts an overlay over an idmapped mount of the host's root, in the mounter's
// tmpfs, which is gone with its thread.
func (m *mounter) tryIdmappedLayer() error {
	userns, err := newUserns([]syscall.SysProcIDMap{{ContainerID: 0, HostID: 1, Size: container.IDs}})
	if err != nil {
		return err
	}
	defer userns.Close()
	image, err := clone("/", unix.MOUNT_ATTR_RDONLY, int(userns.Fd()), false)
	if err != nil {
		return err
	}
	defer unix.Close(image)
	for _, d := range []string{"image", "empty", "root"} {
		if err := os.MkdirAll(filepath.Join(m.at, "try", d), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Chdir(filepath.Join(m.at, "try")); err != nil {
		return err
	}
	defer func() { _ = unix.Chdir("/") }()
	if err := unix.MoveMount(image, "", unix.AT_FDCWD, "image", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attach the image: %w", err)
	}
	if err := unix.Mount("overlay", "root", "overlay", unix.MS_RDONLY, "lowerdir=image:empty"); err != nil {
		return fmt.Errorf("mount an overlay: %w", err)
	}
	return nil
}

// newUserns makes a user namespace with these ids of users and of groups. A process has to be in it
// while it is opened: a child that is stopped before its first instruction, by ptrace(2), on a
// locked thread.
func newUserns(ids []syscall.SysProcIDMap) (*os.File, error) {
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"nsnet: ids"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, Ptrace: true, Pdeathsig: unix.SIGKILL,
	}})
	if err != nil {
		return nil, fmt.Errorf("create a user namespace: %w", err)
	}
	defer func() {
		_ = unix.Kill(pid, unix.SIGKILL)
		_, _ = unix.Wait4(pid, nil, 0, nil)
	}()
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	if err != nil {
		return nil, fmt.Errorf("create a user namespace: %w", err)
	}
	return f, nil
}
