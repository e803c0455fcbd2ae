package lab

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/nodeinit"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/lab/labinit"
)

// sealedExecutable opens this program for the inits to run: through a read-only mount of
// its own that is in no namespace, so that not even a privileged node can reopen
// /proc/1/exe for writing (CVE-2019-5736). A binary that was replaced or removed since it
// was started is run as it is.
func sealedExecutable() (*os.File, error) {
	const self = "/proc/self/exe"
	if err := failpoint.Hit("open_tree", self); err != nil {
		return nil, err
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, self, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		if fd, err = unix.Open(self, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			return nil, err
		}
		return container.Executable(fd)
	}
	a := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Attr_clr: unix.MOUNT_ATTR_NOEXEC}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &a); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("seal: %w", err)
	}
	return container.Executable(fd)
}

// copiedExecutable is sealedExecutable for a lab with a privileged node: the host's root can make a read-only mount writable, and this
// takes a copy in memory that nobody can write any more. memfd_create(2), fcntl(2) F_ADD_SEALS.
func copiedExecutable() (*os.File, error) {
	if err := failpoint.Hit("memfd_create", "nsnet"); err != nil {
		return nil, err
	}
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer program.Close()
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("nsnet", flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 all of them can be executed
		fd, err = unix.MemfdCreate("nsnet", flags)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f, err := container.Executable(fd)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(f, program)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("copy it: %w", err)
	}
	return f, nil
}

// initTitle is what the arguments of a lab init begin with, before the lab's name.
const initTitle = "nsnet: lab "

// startInit starts the lab init in new namespaces, files becoming its descriptors from 1
// on. clone(2).
func startInit(exe *os.File, name string, r *record, files []uintptr, in *cgroups.Cradle) (*os.Process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, &Error{Op: "start the lab", Err: err}
	}
	defer null.Close()
	// In the child ForkExec uses the numbers above the highest of these descriptors for its own, which must not be exe's: up opens
	// other files at the same time, and any may be the highest.
	top, err := unix.FcntlInt(null.Fd(), unix.F_DUPFD_CLOEXEC, int(exe.Fd())+1)
	if err != nil {
		return nil, &Error{Op: "start the lab", Err: err}
	}
	defer unix.Close(top)
	attr := &syscall.ProcAttr{
		Dir:   "/",
		Env:   append(failpoint.Environ("lab init"), nodeinit.EnvKey+"="+labinit.EnvValue),
		Files: append([]uintptr{uintptr(top)}, files...),
		Sys: &syscall.SysProcAttr{
			Setsid: true,
			Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET |
				unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		},
	}
	owner := uint32(0)
	if r.UserNS {
		owner = r.Powers + ownerID
		attr.Sys.Cloneflags |= unix.CLONE_NEWUSER
		ids := r.ids().mapped()
		attr.Sys.UidMappings, attr.Sys.GidMappings = ids, ids
		attr.Sys.GidMappingsEnableSetgroups = true
		attr.Sys.Credential = &syscall.Credential{}
	}
	// Whatever this process was started with, no descriptor but the given ones goes on.
	if err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, &Error{Op: "start the lab: keep descriptors back", Err: err}
	}
	pid, err := -1, failpoint.Hit("clone", "lab init")
	if err == nil {
		err = asIfFirst(owner, func() error { return in.Enter(attr.Sys) }, func() (err error) {
			pid, err = syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(int(exe.Fd())), []string{initTitle + name}, attr)
			return err
		})
	}
	if err != nil {
		e := &Error{Op: "start the lab: create its namespaces", Err: err}
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
			e.Err = fmt.Errorf("%w: user, pid, mount, network, ipc and uts namespaces: %w", ErrUnsupported, err)
		}
		return nil, e
	}
	standardOOMScore(pid)
	return os.FindProcess(pid)
}
