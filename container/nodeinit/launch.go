package nodeinit

import (
	"syscall"
	"unsafe"
)

// launch is a command to be forked, with all that its child needs: a child may neither allocate nor grow
// its stack, see start.
type launch struct {
	path, dir   *byte
	argv, envv  *unsafe.Pointer
	groups      *uint32
	groupCount  uintptr
	uid, gid    uintptr
	stdio       [3]uintptr // descriptors from firstFree on
	terminal    bool       // stdio is to be the controlling terminal
	score       *byte      // path of the child's own oom_score_adj
	expendable  [3]byte
	files       [2]uint64 // soft and hard limit of open files; the runtime has raised the soft one of this process
	report      uintptr   // where an outcome is written to, of a command that gets a process between
	result      outcome
	chdirFailed bool
	name        [16]byte // what ps shows of a process between
}

// outcome is what became of a launch. It is sent through a pipe as it is in memory: both ends are the same program.
type outcome struct {
	pid    int32
	errno  uint32
	stage  uint32
	unused uint32
}

// Stages of an outcome.
const (
	stageDone    = iota // the command runs, or cannot
	stageBecomes        // the process between becomes the command: that has come to something when the pipe ends or another outcome comes
	stageDir            // the working directory cannot be entered
)

// vfork is vfork(2): the parent waits until the child has called execve or has ended, and the child uses the parent's memory.
func vfork() (pid, errno uintptr)

// yielding is yield for a process that has become the command without it.
func yielding(pid int) {
	fd, err := syscall.Open("/proc/"+decimal(pid)+"/oom_score_adj", syscall.O_WRONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err == nil {
		_, _ = syscall.Write(fd, []byte("900"))
		_ = syscall.Close(fd)
	}
}

// newLaunch prepares what a child needs. Descriptors of stdio are duplicated where they are among those that a child overwrites; own are these
// duplicates, the caller's to close.
func newLaunch(c prepared, stdio []int) (l *launch, own []int, err error) {
	files := fileLimits()
	l = &launch{uid: uintptr(c.uid), gid: uintptr(c.gid), terminal: c.terminal, files: [2]uint64{files.Cur, files.Max}, expendable: [3]byte{'9', '0', '0'},
		name: [16]byte{'n', 's', 'n', 'e', 't', '-', 'e', 'x', 'e', 'c'}}
	if l.path, err = syscall.BytePtrFromString(c.path); err != nil {
		return nil, nil, err
	}
	if l.dir, err = syscall.BytePtrFromString(c.dir); err != nil {
		return nil, nil, err
	}
	if l.score, err = syscall.BytePtrFromString("/proc/self/oom_score_adj"); err != nil {
		return nil, nil, err
	}
	args, err := syscall.SlicePtrFromStrings(c.argv)
	if err != nil {
		return nil, nil, err
	}
	env, err := syscall.SlicePtrFromStrings(c.env)
	if err != nil {
		return nil, nil, err
	}
	l.argv, l.envv = (*unsafe.Pointer)(unsafe.Pointer(&args[0])), (*unsafe.Pointer)(unsafe.Pointer(&env[0]))
	if len(c.groups) > 0 {
		l.groups, l.groupCount = &c.groups[0], uintptr(len(c.groups))
	}
	for i, fd := range stdio {
		if fd < firstFree {
			dup, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, firstFree)
			if e != 0 {
				closeAll(own)
				return nil, nil, e
			}
			fd = int(dup)
			own = append(own, fd)
		}
		l.stdio[i] = uintptr(fd)
	}
	return l, own, nil
}

// start forks the command and returns when that has been executed, or could not. Nothing between the
// fork and that may allocate, grow a stack, or be interrupted by a signal handler: the child is the copy of one thread.
//
//go:noinline
//go:norace
//go:nocheckptr
func (l *launch) start() (pid int, e syscall.Errno) {
	var child, errno uintptr
	beforeFork()
	child, errno = vfork()
	if errno == 0 && child == 0 {
		l.run(true, true)
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 127, 0, 0) //nolint:errcheck // it does not return
	}
	afterFork()
	if errno != 0 {
		return 0, syscall.Errno(errno)
	}
	return int(child), syscall.Errno(l.result.errno)
}

// cloneBelow starts between(l) in a process of its own on a stack that ends at top, in this process's memory: clone(CLONE_VM|SIGCHLD).
func cloneBelow(top uintptr, l *launch) (pid, errno uintptr)

// startBelow starts a process that forks the command, and returns its pid. What becomes of the command is an outcome in the pipe
// report. Programs take a parent of pid 1 for "started by init": so there is one between. It leaves it to this init to wait for the
// command: when that has ended it ends, too, and the zombie becomes this init's child, which so learns of the end as of any child's.
//
// It is a task and nothing else: its memory is the init's, with a stack of a page or two, it has nothing open, no signal reaches it but
// SIGKILL and SIGSTOP, and it runs none but the functions below. A copy of this process, as fork(2) makes, would cost half a millisecond, and
// pages when memory is short. l has to stay reachable until it has ended.
//
//go:noinline
//go:norace
//go:nocheckptr
func (l *launch) startBelow(stack uintptr) (between int, e syscall.Errno) {
	var pid, errno uintptr
	beforeFork()
	pid, errno = cloneBelow(stack+stackSize, l)
	afterFork()
	return int(pid), syscall.Errno(errno)
}

// stackSize is that of a process between, of which little is used: what runs there may not grow it, and the linker counts it.
const stackSize = 16 << 10

// between is all that a process between does.
//
//go:nosplit
//go:noinline
//go:norace
func between(l *launch) { //nolint:unused // by the assembly code
	var pid, errno uintptr
	l.settle()
	pid, errno = vfork()
	if errno == 0 && pid == 0 {
		l.run(false, true)
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 127, 0, 0) //nolint:errcheck // it does not return
	}
	if errno == uintptr(syscall.EAGAIN) {
		l.become() // no room for two: then it is the command itself
	}
	l.watch(int32(pid), uint32(errno))
}

// settle leaves the process between with the command's standard streams and the report.
//
//go:nosplit
//go:noinline
//go:norace
func (l *launch) settle() { //nolint:unused // by the assembly code
	const sysCloseRange = 436
	for i := uintptr(0); i < 3; i++ {
		syscall.RawSyscall(syscall.SYS_DUP3, l.stdio[i], i, 0) //nolint:errcheck // both are open
	}
	syscall.RawSyscall(syscall.SYS_DUP3, l.report, Socket, syscall.O_CLOEXEC)             //nolint:errcheck // both are open
	syscall.RawSyscall(sysCloseRange, uintptr(Socket)+1, uintptr(^uint32(0)), 0)          //nolint:errcheck // cannot fail with these arguments
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetName, uintptr(unsafe.Pointer(&l.name)), 0) //nolint:errcheck // it keeps the init's name then
}

// become makes the process between the command.
//
//go:nosplit
//go:noinline
//go:norace
func (l *launch) become() { //nolint:unused // by the assembly code
	pid, _, _ := syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
	l.result.pid, l.result.stage = int32(pid), stageBecomes
	syscall.RawSyscall(syscall.SYS_WRITE, Socket, uintptr(unsafe.Pointer(&l.result)), unsafe.Sizeof(l.result)) //nolint:errcheck // who does not read has ended
	l.run(false, false)
	l.result.stage = stageDone
	if l.chdirFailed {
		l.result.stage = stageDir
	}
	syscall.RawSyscall(syscall.SYS_WRITE, Socket, uintptr(unsafe.Pointer(&l.result)), unsafe.Sizeof(l.result)) //nolint:errcheck // as above
	syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 127, 0, 0)                                                      //nolint:errcheck // it does not return
}

// watch is what the process between does as long as the command runs. The command is not waited for, but is left to the init.
//
//go:nosplit
//go:noinline
//go:norace
func (l *launch) watch(pid int32, errno uint32) { //nolint:unused // by the assembly code
	const sysCloseRange, byPid, exited, leave = 436, 1, 4, 0x01000000 // P_PID, WEXITED, WNOWAIT
	l.result.pid = pid
	if errno != 0 {
		l.result.errno = errno
	}
	if l.chdirFailed {
		l.result.stage = stageDir
	}
	syscall.RawSyscall(syscall.SYS_WRITE, Socket, uintptr(unsafe.Pointer(&l.result)), unsafe.Sizeof(l.result)) //nolint:errcheck // who does not read has ended
	syscall.RawSyscall(sysCloseRange, 0, uintptr(^uint32(0)), 0)                                               //nolint:errcheck // cannot fail with these arguments
	for errno == 0 {
		_, _, e := syscall.RawSyscall6(syscall.SYS_WAITID, byPid, uintptr(pid), 0, exited|leave, 0, 0)
		if e != syscall.EINTR {
			break
		}
	}
	syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0) //nolint:errcheck // it does not return
}

// yield has this process be the first to go when memory is short, rather than the init, which may be bigger and with which the node would end.
// A command raises its own score, and never the init's around a fork. As it was made by vfork, that of those which have the same memory
// stays: __set_oom_adj in fs/proc/base.c. A process between may not do so, as the init has its memory: see
// yielding. A node that hides its /proc does without.
//
//go:nosplit
//go:noinline
//go:norace
func (l *launch) yield() {
	fd, _, e := syscall.RawSyscall6(syscall.SYS_OPENAT, ^uintptr(99), uintptr(unsafe.Pointer(l.score)), syscall.O_WRONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0, 0, 0)
	if e == 0 {
		syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(&l.expendable)), uintptr(len(l.expendable))) //nolint:errcheck // as above
		syscall.RawSyscall(syscall.SYS_CLOSE, fd, 0, 0)                                                               //nolint:errcheck // it was written, or not
	}
}

// run is what a child does until it is the command: it puts its standard streams in place, and yields when memory is short. It returns when it
// cannot become the command, and leaves the reason in the result.
//
//go:nosplit
//go:noinline
//go:norace
func (l *launch) run(place, yields bool) {
	const signals, setMask = 64, 2
	var action [4]uint64 // struct sigaction of the kernel: SIG_DFL
	var none uint64
	var i uintptr
	var e, inside syscall.Errno
	for i = 1; i <= signals; i++ {
		syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, i, uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0) //nolint:errcheck // SIGKILL and SIGSTOP cannot be given one
	}
	if _, _, e = syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0); e != 0 {
		goto failed
	}
	for i = 0; place && i < 3; i++ {
		if _, _, e = syscall.RawSyscall(syscall.SYS_DUP3, l.stdio[i], i, 0); e != 0 {
			goto failed
		}
	}
	if l.terminal {
		if _, _, e = syscall.RawSyscall(syscall.SYS_IOCTL, 0, syscall.TIOCSCTTY, 1); e != 0 {
			goto failed
		}
	}
	if yields {
		l.yield()
	}
	// As root, and not as the command's user, to whom the directory may be closed. Where root may not enter it, that one perhaps may.
	_, _, inside = syscall.RawSyscall(syscall.SYS_CHDIR, uintptr(unsafe.Pointer(l.dir)), 0, 0)
	if _, _, e = syscall.RawSyscall(syscall.SYS_SETGROUPS, l.groupCount, uintptr(unsafe.Pointer(l.groups)), 0); e != 0 {
		goto failed
	}
	if _, _, e = syscall.RawSyscall(syscall.SYS_SETGID, l.gid, 0, 0); e != 0 {
		goto failed
	}
	if _, _, e = syscall.RawSyscall(syscall.SYS_SETUID, l.uid, 0, 0); e != 0 {
		goto failed
	}
	syscall.RawSyscall6(syscall.SYS_PRLIMIT64, 0, syscall.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&l.files)), 0, 0, 0) //nolint:errcheck // to lower a limit is allowed to everybody
	if inside != 0 {
		if _, _, e = syscall.RawSyscall(syscall.SYS_CHDIR, uintptr(unsafe.Pointer(l.dir)), 0, 0); e != 0 {
			l.chdirFailed = true
			goto failed
		}
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0) //nolint:errcheck // cannot fail with these arguments
	_, _, e = syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(l.path)), uintptr(unsafe.Pointer(l.argv)), uintptr(unsafe.Pointer(l.envv)))
failed:
	l.result.errno = uint32(e)
}
