package nodeinit

import (
	"syscall"
	"unsafe"

	"github.com/nsnet/nsnet/container/wire"
)

// beforeFork and afterFork are what package syscall brackets its forks with: the first keeps the
// goroutine on its thread, unpreempted, with all signals blocked, until the second. The runtime
// leaves them to others by this name (runtime/proc.go).
//
//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

// hold makes this goroutine the only one that runs from here on, so that this process can be
// forked and its child go on: the runtime neither preempts it, nor collects garbage, nor
// needs another of its threads, which a child has not. The second call counts; the third
// gives the stack its guard back.
func hold() {
	beforeFork()
	beforeFork()
	afterFork()
}

// fork clones this process into new namespaces. The child, for which it returns 0, has a copy of
// the memory and of all descriptors, and this thread alone. clone(2) with CLONE_PIDFD, Linux
// 5.2.
func fork(flags uintptr) (pid, pidfd int, e syscall.Errno) {
	const clonePidfd = 0x1000
	fd := int32(-1)
	r, _, e := syscall.RawSyscall6(syscall.SYS_CLONE, flags|clonePidfd|uintptr(syscall.SIGCHLD), 0, uintptr(unsafe.Pointer(&fd)), 0, 0, 0)
	return int(r), int(fd), e
}

// defaultAll gives every signal its default disposition, with which PID 1 is deaf to what its own
// pid namespace sends it (pid_namespaces(7)), and unblocks all but the forwarded ones.
func defaultAll() {
	type sigaction struct {
		handler, flags, restorer uintptr
		mask                     uint64
	}
	byDefault := sigaction{}
	const signals, setMask = 64, 2
	for s := uintptr(1); s <= signals; s++ {
		syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, s, uintptr(unsafe.Pointer(&byDefault)), 0, 8, 0, 0) //nolint:errcheck // SIGKILL and SIGSTOP cannot be given one
	}
	m := forwardedMask()
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&m)), 0, 8, 0, 0) //nolint:errcheck // cannot fail with these arguments
}

// title is where the kernel reads a process's arguments from, which ps shows.
type title struct{ start, end uintptr }

// argv finds this process's own. proc_pid_stat(5), fields 48 and 49.
func argv() title {
	b := slurp("/proc/self/stat")
	field, n := 2, uintptr(0) // the second is the name, in parentheses, of any bytes
	var t title
	for i := lastByte(b, ')') + 1; i < len(b); i++ {
		switch c := b[i]; {
		case c >= '0' && c <= '9':
			n = 10*n + uintptr(c-'0')
		case c == ' ':
			switch field {
			case 48:
				t.start = n
			case 49:
				t.end = n
			}
			field++
			n = 0
		}
	}
	return t
}

func lastByte(b []byte, c byte) int {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == c {
			return i
		}
	}
	return -1
}

// set makes s the process's arguments, as far as there is room. A last byte that is not zero tells the kernel
// that this has been done (setproctitle(3), get_mm_cmdline in fs/proc/base.c). The memory is written
// as that of a process, as it is no Go object.
func (t title) set(s string) {
	if t.start == 0 || t.end < t.start+2 {
		return
	}
	b := make([]byte, t.end-t.start)
	copy(b[:len(b)-2], s)
	b[len(b)-1] = '.'
	local := syscall.Iovec{Base: &b[0], Len: uint64(len(b))}
	remote := struct{ base, len uintptr }{t.start, uintptr(len(b))}
	pid, _, _ := syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
	syscall.RawSyscall6(sysProcessVMWritev, pid, uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0) //nolint:errcheck // its name is all that it lacks then
}

// peek waits for a message and tells its kind, without taking it; more is false at the end.
func peek(fd int) (k wire.Kind, more bool) {
	const flags = syscall.MSG_PEEK | syscall.MSG_WAITALL
	var h [wire.HeaderSize]byte
	for {
		n, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&h)), uintptr(len(h)), flags, 0, 0)
		switch {
		case e == syscall.EINTR:
		case e != 0 || n == 0:
			return 0, false
		case int(n) == len(h):
			k, _ := wire.Header(&h)
			return k, true
		}
	}
}

// become starts a program in this process's place: this one, with all that a Go program has. execveat(2).
func become(exe int, args, env []string) syscall.Errno {
	argv, err := syscall.SlicePtrFromStrings(args)
	if err != nil {
		return syscall.EINVAL
	}
	envv, err := syscall.SlicePtrFromStrings(env)
	if err != nil {
		return syscall.EINVAL
	}
	var empty byte
	_, _, e := syscall.RawSyscall6(sysExecveat, uintptr(exe), uintptr(unsafe.Pointer(&empty)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envv[0])), atEmptyPath, 0)
	return e
}
