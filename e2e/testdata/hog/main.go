// Command hog takes as many of one kind of the kernel's objects as it is given, or tries whether there is one more.
//
//	hog KIND     takes all, says how many and why no more, and keeps them until its standard input ends
//	hog KIND 1   takes one, and exits with 0 if it was given
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	runtime.LockOSThread()
	kinds := map[string]func(i int) error{
		"inotify":  inotify,
		"mqueue":   mqueue,
		"signals":  signals,
		"timers":   timers,
		"process":  process,
		"user":     func(int) error { return namespace(unix.CLONE_NEWUSER) },
		"net":      func(int) error { return namespace(unix.CLONE_NEWNET) },
		"mnt":      func(int) error { return namespace(unix.CLONE_NEWNS) },
		"pty":      pty,
		"pipe":     pipe,
		"aio":      aio,
		"file":     file,
		"memory":   memory,
		"fanotify": fanotify,
		"passing":  passing,
	}
	if len(os.Args) < 2 || kinds[os.Args[1]] == nil {
		fmt.Println("which kind?")
		os.Exit(20)
	}
	take, most := kinds[os.Args[1]], 1<<20
	switch os.Args[1] {
	case "user", "net", "mnt", "process":
		most = 8192 // a bound that is none to speak of
	}
	if len(os.Args) > 2 {
		most, _ = strconv.Atoi(os.Args[2])
	}
	taken, err := 0, error(nil)
	for taken < most && err == nil {
		if err = take(taken); err == nil {
			taken++
		}
	}
	if len(os.Args) == 2 {
		fmt.Println(taken, err)
		_, _ = io.Copy(io.Discard, os.Stdin)
	} else if err != nil {
		fmt.Println(err)
		os.Exit(10)
	}
}

func inotify(int) error {
	_, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	return err
}

func fanotify(int) error {
	const reportFID = 0x200
	_, err := unix.FanotifyInit(reportFID, 0)
	return err
}

// mqueue makes a queue of the usual size. mq_overview(7).
func mqueue(i int) error {
	name, err := unix.BytePtrFromString(fmt.Sprintf("hog-%d-%d", os.Getpid(), i))
	if err != nil {
		return err
	}
	_, _, e := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o600, 0, 0, 0)
	if e != 0 {
		return e
	}
	if len(os.Args) > 2 { // a queue outlives its process
		_, _, e = unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(name)), 0, 0)
		return errno(e)
	}
	return nil
}

// realtime is a signal that the Go runtime makes nothing of, and that is queued once for each time it is sent.
const realtime = 40

// signals queues one more signal for this thread, which blocks it.
func signals(i int) error {
	if i == 0 {
		var set unix.Sigset_t
		set.Val[0] = 1 << (realtime - 1)
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
			return err
		}
	}
	info := [128]byte{}
	const queue = -1 // SI_QUEUE
	*(*int32)(unsafe.Pointer(&info[0])) = realtime
	code := int32(queue)
	*(*int32)(unsafe.Pointer(&info[8])) = code
	_, _, e := unix.Syscall6(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(unix.Getpid()), uintptr(unix.Gettid()), realtime, uintptr(unsafe.Pointer(&info)), 0, 0)
	return errno(e)
}

// timers makes a timer, for whose signal the kernel sets one of the queued signals aside. timer_create(2).
func timers(int) error {
	event := struct {
		value          uint64
		signal, notify int32
		_              [48]byte
	}{signal: realtime}
	var id int32
	_, _, e := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&id)))
	return errno(e)
}

// process starts one that does nothing until it is killed.
func process(int) error {
	pid, err := clone(0)
	if err == nil && len(os.Args) > 2 {
		return end(pid)
	}
	return err
}

// clone starts a process that does nothing, in new namespaces of some kinds.
func clone(kinds uintptr) (pid int, err error) {
	r, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD)|kinds, 0, 0, 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	if r == 0 {
		for {
			unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0) //nolint:errcheck // until it is killed
		}
	}
	return int(r), nil
}

func end(pid int) error {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		return err
	}
	_, err := unix.Wait4(pid, nil, 0, nil)
	return err
}

// namespace makes one, held open.
func namespace(kind uintptr) error {
	pid, err := clone(kind)
	if err != nil {
		return err
	}
	name := map[uintptr]string{unix.CLONE_NEWUSER: "user", unix.CLONE_NEWNET: "net", unix.CLONE_NEWNS: "mnt"}[kind]
	_, err = os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
	return errors.Join(err, end(pid))
}

func pty(int) error {
	_, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	return err
}

// pipe makes one, in which a process without rights may keep less when its user has many. pipe(7), fs.pipe-user-pages-soft.
func pipe(int) error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	const usual = 65536
	if n, err := unix.FcntlInt(uintptr(p[0]), unix.F_GETPIPE_SZ, 0); err != nil || n < usual {
		return errors.Join(fmt.Errorf("a pipe of %d bytes", n), err)
	}
	return nil
}

// aio sets a context up for so many events. io_setup(2).
func aio(int) error {
	var context uint64
	_, _, e := unix.Syscall(unix.SYS_IO_SETUP, 4096, uintptr(unsafe.Pointer(&context)), 0)
	return errno(e)
}

func file(int) error {
	_, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return err
}

// passing sends as many descriptors as a message takes over a socket that nobody reads. unix(7).
func passing(int) error {
	const most = 253 // SCM_MAX_FD
	files := unix.Rlimit{}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		files.Cur = files.Max
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &files)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	fds := make([]int, most)
	for i := range fds {
		fds[i] = 1
	}
	for sent := 0; ; sent++ {
		err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(fds...), nil, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) && sent > 0 {
			return nil // this one is full
		}
		if err != nil {
			return err
		}
	}
}

// memory takes and fills a megabyte.
func memory(int) error {
	b, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
	if err == nil {
		b[0] = 1
	}
	return err
}

func errno(e syscall.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}
