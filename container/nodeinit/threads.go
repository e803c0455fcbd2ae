package nodeinit

import (
	"syscall"
	"unsafe"

	"github.com/nsnet/nsnet/container/wire"
)

// The Go runtime ends a process that cannot make a thread, as where a limit of processes is used up, and
// with a node init its node. A node init has two goroutines: one on the main thread, and one that waits for
// children. While both are in system calls the runtime's monitor thread hands their processor to another
// thread, and makes one where none is idle. So all threads there will be are made before anything else
// runs in the node.

// spareThreads are those beside the main and the monitor thread. Two are enough, but for moments in which one
// is on its way to be idle again.
const spareThreads = 5

// Threads is how many of its limit of processes a node's init takes, once something has run in the node.
const Threads = 2 + spareThreads

// makeThreads has the runtime make the threads. The goroutines that read hold one each while the
// last, on another, waits for them.
func makeThreads() error {
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
		return err
	}
	reads, done := make(chan struct{}), make(chan struct{})
	for range spareThreads - 1 {
		go func() {
			reads <- struct{}{}
			var b [1]byte
			_, _ = syscall.Read(p[0], b[:]) // until the other end is closed
			done <- struct{}{}
		}()
	}
	go func() {
		for range spareThreads - 1 {
			<-reads
		}
		// Only when the readers are in their system calls does this come to run again.
		_ = syscall.Close(p[1])
	}()
	for range spareThreads - 1 {
		<-done
	}
	return syscall.Close(p[0])
}

// room tells whether the node's limit of processes, and the host's, leave room for the threads of the program
// that an idle init becomes: EAGAIN if not. It forks as many processes, all at once.
func room() syscall.Errno {
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
		return syscall.EAGAIN
	}
	var refused syscall.Errno
	var pids [Threads - 1]uintptr
	for i := range pids {
		pid, _, e := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if e != 0 {
			refused = e
			break
		}
		if pid == 0 {
			rawClose(p[1])
			var b [1]byte
			syscall.RawSyscall(syscall.SYS_READ, uintptr(p[0]), uintptr(unsafe.Pointer(&b)), 1) //nolint:errcheck // until the other end is closed
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)                                 //nolint:errcheck // does not return
		}
		pids[i] = pid
	}
	closeAll(p[:])
	for _, pid := range pids {
		for pid != 0 {
			_, _, e := syscall.RawSyscall6(syscall.SYS_WAIT4, pid, 0, 0, 0, 0, 0)
			if e != syscall.EINTR {
				break
			}
		}
	}
	return refused
}

// decline answers a request that cannot be met, where its answer would have gone.
func decline(k wire.Kind, fds []int, e syscall.Errno) {
	to := Socket
	if k == wire.Exec && len(fds) > 0 {
		to = fds[0]
	}
	send(to, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(e), Text: "the node's init"}))
	if to != Socket {
		_ = syscall.Shutdown(to, syscall.SHUT_RDWR)
	}
	closeAll(fds)
}
