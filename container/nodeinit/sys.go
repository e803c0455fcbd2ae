package nodeinit

import (
	"syscall"
	"unsafe"
)

// Constants of the kernel's interface that package syscall has not. Numbers of system
// calls above 424 are the same on every architecture.
const (
	sysOpenTree   = 428
	sysMoveMount  = 429
	sysFsopen     = 430
	sysFsconfig   = 431
	sysFsmount    = 432
	sysCloseRange = 436
	sysOpenat2    = 437

	atEmptyPath        = 0x1000
	atRecursive        = 0x8000
	moveMountFromEmpty = 0x4
	moveMountToEmpty   = 0x40

	oPath             = 0x200000
	resolveNoMagic    = 0x02
	resolveNoSymlinks = 0x04
	resolveInRoot     = 0x10

	prSetDumpable  = 4
	prSetName      = 15
	prCapbsetRead  = 23
	prCapbsetDrop  = 24
	prSetNoNewPriv = 38
	prCapAmbient   = 47
	ambientClear   = 4

	seccompSetModeFilter = 1
	seccompTsync         = 1

	capSysAdmin     = 21
	cloneNewcgroup  = 0x02000000
	capabilityV3    = 0x20080522
	tiocgptpeer     = 0x5441
	fionread        = 0x541b
	pollIn          = 1
	tiocsptlck      = 0x40045431
	ownerless       = 65535 // -1 in the 16 bits that ids once had: no file is given to it, as some are to nobody (65534)
	atSymlinkNofoll = 0x100
)

type openHow struct{ flags, mode, resolve uint64 }

// openIn opens path below the directory root, whose symbolic links and ".." cannot lead
// out of it. openat2(2), Linux 5.6.
func openIn(root int, path string, flags int, mode uint32, resolve uint64) (int, syscall.Errno) {
	p, err := syscall.BytePtrFromString(path)
	if err != nil {
		return -1, syscall.EINVAL
	}
	how := openHow{uint64(flags | syscall.O_CLOEXEC), uint64(mode), resolve | resolveNoMagic}
	for {
		fd, _, e := syscall.Syscall6(sysOpenat2, uintptr(root), uintptr(unsafe.Pointer(p)), uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
		if e == syscall.EINTR || e == syscall.EAGAIN { // EAGAIN: a rename raced with ".."
			continue
		}
		return int(fd), e
	}
}

// moveMount attaches the detached mount fd onto the open path at. move_mount(2), Linux 5.2.
func moveMount(fd, at int) syscall.Errno {
	var empty byte
	_, _, e := syscall.Syscall6(sysMoveMount, uintptr(fd), uintptr(unsafe.Pointer(&empty)), uintptr(at), uintptr(unsafe.Pointer(&empty)), moveMountFromEmpty|moveMountToEmpty, 0)
	return e
}

type capHeader struct {
	version uint32
	pid     int32
}

type capData struct{ effective, permitted, _ uint32 } // the last is inheritable: never set

// setEffective sets the calling thread's effective capabilities and leaves the permitted.
func setEffective(mask uint64) syscall.Errno {
	h := capHeader{version: capabilityV3}
	var d [2]capData
	if _, _, e := syscall.RawSyscall(syscall.SYS_CAPGET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&d)), 0); e != 0 {
		return e
	}
	d[0].effective, d[1].effective = uint32(mask)&d[0].permitted, uint32(mask>>32)&d[1].permitted
	_, _, e := syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&d)), 0)
	return e
}

// setAll sets the permitted and effective capabilities of this thread, inheritable none. A node init
// that is booting has no other.
func setAll(mask uint64) syscall.Errno {
	h := capHeader{version: capabilityV3}
	var d [2]capData
	d[0].effective, d[1].effective = uint32(mask), uint32(mask>>32)
	d[0].permitted, d[1].permitted = d[0].effective, d[1].effective
	_, _, e := syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&d)), 0)
	return e
}

// pollFD is struct pollfd.
type pollFD struct {
	fd              int32
	events, revents int16
}

// poll waits until one of fds is ready. After EINTR none is. ppoll(2).
func poll(fds []pollFD) syscall.Errno {
	_, _, e := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)), 0, 0, 0, 0)
	if e != 0 {
		for i := range fds {
			fds[i].revents = 0
		}
	}
	if e == syscall.EINTR {
		return 0
	}
	return e
}

// pending is how many bytes a pipe holds. pipe(7).
func pending(fd int) int {
	var n int32
	syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), fionread, uintptr(unsafe.Pointer(&n))) //nolint:errcheck // none, then
	return int(n)
}

func prctl(op, a, b uintptr) (uintptr, syscall.Errno) {
	r, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, op, a, b, 0, 0, 0)
	return r, e
}

// loadSeccomp puts every thread under the filter: struct sock_filter entries, eight bytes each.
func loadSeccomp(filter []byte) syscall.Errno {
	prog := struct {
		n uint16
		p unsafe.Pointer
	}{uint16(len(filter) / 8), unsafe.Pointer(unsafe.SliceData(filter))}
	_, _, e := syscall.RawSyscall(sysSeccomp, seccompSetModeFilter, seccompTsync, uintptr(unsafe.Pointer(&prog)))
	return e
}

// forwardedMask has the signals that the parent blocked and that a node's command gets when
// they are sent to PID 1.
func forwardedMask() uint64 {
	var m uint64
	for _, s := range Forwarded() {
		m |= 1 << (uint(s) - 1)
	}
	return m
}

// Forwarded lists the signals that a node init passes on to the node's command. Whoever
// starts a node init blocks them first, in the thread that forks.
func Forwarded() []syscall.Signal {
	return []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGALRM, syscall.SIGCONT}
}

// defaultSignals gives the forwarded signals their default disposition in place of the
// runtime's handlers. It lets a signal that comes in the moment a command is forked, when the
// main thread has to unblock it, pass without harm, as for PID 1 it means to ignore
// (pid_namespaces(7)). "Ignore" itself would be the commands', too: the runtime resets at fork
// only what it handles, SIGHUP and SIGINT not if they came ignored.
//
// The signals that C libraries keep to themselves are not the runtime's either, and come
// ignored from whoever was started by glibc's posix_spawn(3), as make(1) starts its recipes.
func defaultSignals() {
	type sigaction struct {
		handler, flags, restorer uintptr
		mask                     uint64
	}
	byDefault := sigaction{}
	// Faults of the runtime's own end the process as they would with its handler. Those that a node's root sends would end it, too.
	sent := []syscall.Signal{syscall.SIGILL, syscall.SIGTRAP, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV, syscall.SIGSTKFLT, syscall.SIGSYS}
	for _, s := range append(append(sent, Forwarded()...), 32, 33, 34) { // SIGCANCEL, SIGSETXID, musl's SIGSYNCCALL
		if s != syscall.SIGCONT {
			syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&byDefault)), 0, 8, 0, 0) //nolint:errcheck // cannot fail with these arguments
		}
	}
}

// openSignals opens a signalfd for the forwarded signals. signalfd(2).
func openSignals() (int, syscall.Errno) {
	m := forwardedMask()
	minus := -1
	fd, _, e := syscall.RawSyscall6(syscall.SYS_SIGNALFD4, uintptr(minus), uintptr(unsafe.Pointer(&m)), 8, syscall.O_CLOEXEC, 0, 0)
	return int(fd), e
}
