package nodeinit

import (
	"syscall"
	"unsafe"
)

// What a node uses up of the kernel's own is counted for the user ids in its user namespace, then for the id that has made that
// namespace, in the one above, and so on up to the host's: inotify instances and namespaces, which the sysctls user.max_* of each
// namespace bound, and processes, queued signals and message queues, which the limits bound that the maker had at that time
// (kernel/ucount.c). Made by the lab's root, all nodes would use up what is that root's. So each node's is made by an id that is nobody's
// but the node's, and that is mapped in no node: whoever has it in the namespace above is the node's master (cap_capable in
// security/commoncap.c).

// charge has the user namespace that this thread makes next be counted for an id, and hold so many processes, 0: as many as this process may. Until uncharge the thread is
// without capabilities. setresuid(2), prlimit(2).
func charge(owner int, processes uint64) failure {
	if e := limitProcesses(processes, false); e != 0 {
		return fail(e, "limit its processes")
	}
	return fail(becomeUser(owner), "become its owner")
}

// uncharge makes the thread root again.
func uncharge() failure { return fail(becomeUser(0), "become root again") }

// becomeUser changes the thread's real and effective id; the saved one, root's, is what leads back.
func becomeUser(id int) syscall.Errno {
	keep := ^uintptr(0)
	_, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(id), uintptr(id), keep)
	return e
}

// limitProcesses sets the soft limit of processes, or the hard one to what the soft one is, which nothing in a node may then raise.
func limitProcesses(n uint64, hard bool) syscall.Errno {
	const nproc = 6 // RLIMIT_NPROC
	var l syscall.Rlimit
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, 0, nproc, 0, uintptr(unsafe.Pointer(&l)), 0, 0); e != 0 {
		return e
	}
	switch {
	case hard:
		l.Max = l.Cur
	case n == 0:
		l.Cur = l.Max
	default:
		l.Cur = min(n, l.Max)
	}
	_, _, e := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, 0, nproc, uintptr(unsafe.Pointer(&l)), 0, 0, 0)
	return e
}
