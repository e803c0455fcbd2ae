package nodeinit

import (
	"syscall"
	"unsafe"

	"github.com/nsnet/nsnet/container/wire"
)

// Descriptors of a server's program, besides the standard ones.
const (
	fuseFD  = 3 // the connection of the mount
	aliveFD = 4 // the pipe that is hung up when it has ended
)

// maxServed bounds the files that a server has open, one for each that is open in the mount.
const maxServed = 1 << 16

// enterHere makes the working directory the root, in a mount namespace that is fresh and of less privilege: the mounts there are
// held in place, and only a copy of them can become the root. pivot_root(2).
func enterHere() failure {
	const at = "/tmp" // any directory that every host has
	if err := syscall.Mount(".", at, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return failErr(err, "show the layers")
	}
	if err := syscall.Chdir(at); err != nil {
		return failErr(err, "chdir")
	}
	if err := syscall.PivotRoot(".", "."); err != nil {
		return failErr(err, "pivot_root")
	}
	if err := syscall.Unmount(".", syscall.MNT_DETACH); err != nil {
		return failErr(err, "unmount the old root")
	}
	return failErr(syscall.Chdir("/"), "chdir")
}

// becomeServer becomes the program, with what it may have. It returns when that fails.
func becomeServer(s *wire.Server, connection, alive int) int {
	// Both out of the way of the other's place first.
	const above = 16
	var high [2]int
	for i, fd := range []int{connection, alive} {
		n, _, e := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, above)
		if e != 0 {
			return 127
		}
		high[i] = int(n)
	}
	for i, fd := range []int{fuseFD, aliveFD} {
		if _, _, e := syscall.RawSyscall(syscall.SYS_DUP3, uintptr(high[i]), uintptr(fd), 0); e != 0 {
			return 127
		}
	}
	const rest = aliveFD + 1
	if _, _, e := syscall.RawSyscall(sysCloseRange, rest, 1<<31-1, 0); e != 0 {
		return 127
	}
	for _, l := range []struct {
		resource int
		most     uint64
	}{{syscall.RLIMIT_CORE, 0}, {syscall.RLIMIT_NOFILE, maxServed}} {
		if e := lowerLimit(l.resource, l.most); e != 0 {
			return 127
		}
	}
	if f := privileges(s.Caps, true, []byte(s.Filter)); f != ok {
		return 127
	}
	syscall.Umask(0)
	return execute(s.Argv, append(s.Env, EnvKey+"=fusermount"))
}

// lowerLimit lowers a hard limit, and the soft one where it is above. setrlimit(2).
func lowerLimit(resource int, most uint64) syscall.Errno {
	var l syscall.Rlimit
	if _, _, e := syscall.RawSyscall(syscall.SYS_GETRLIMIT, uintptr(resource), uintptr(unsafe.Pointer(&l)), 0); e != 0 {
		return e
	}
	l.Max = min(l.Max, most)
	l.Cur = min(l.Cur, l.Max)
	_, _, e := syscall.RawSyscall(syscall.SYS_SETRLIMIT, uintptr(resource), uintptr(unsafe.Pointer(&l)), 0)
	return e
}

// execute becomes a program. It returns when that fails.
func execute(argv, env []string) int {
	args, err := syscall.SlicePtrFromStrings(argv)
	if err != nil {
		return 127
	}
	envv, err := syscall.SlicePtrFromStrings(env)
	if err != nil {
		return 127
	}
	syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(args[0])), uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&envv[0]))) //nolint:errcheck // it returns with an error alone
	return 127
}

// waitFor waits for a child's end. wait4(2).
func waitFor(pid int) (syscall.WaitStatus, syscall.Errno) {
	var ws int32
	for {
		_, _, e := syscall.RawSyscall6(syscall.SYS_WAIT4, uintptr(pid), uintptr(unsafe.Pointer(&ws)), 0, 0, 0, 0)
		if e != syscall.EINTR {
			return syscall.WaitStatus(uint32(ws)), e
		}
	}
}
