package lab

import (
	"golang.org/x/sys/unix"
)

// What a lab uses up of the kernel's own is counted for the user that has made its user namespace, see container/nodeinit/charge.go. That
// is not root but an id of the lab's own, so that nobody but the lab is without when it has all there is. Whoever has that id on the host is
// the lab's master: no process has it, and as it is of a range of which no node of any lab has ever had an id, no file can belong to it.

// Which of a lab's ids with power are whose. The lab init has the first.
const (
	ownerID      = 1 // what the lab is counted for
	firstOwnerID = 2 // what the node of the first slot is counted for; the others' follow
)

// as runs f on the calling thread as a user with all that root may do. The thread has to end then. setresuid(2), capset(2).
func as(user uint32, f func() error) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return &Error{Op: "start the lab: look at capabilities", Err: err}
	}
	// A change of the user is one for this process's memory, too, of which only root may make a picture from then on.
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err == nil && dumpable == 1 {
		defer func() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }()
	}
	// The saved id stays root's, else the thread would lose what it may do for good. Package syscall changes all threads' ids.
	keep := ^uintptr(0)
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(user), uintptr(user), keep); e != 0 {
		return &Error{Op: "start the lab: become its owner", Err: e}
	}
	if err := unix.Capset(&header, &caps[0]); err != nil {
		return &Error{Op: "start the lab: become its owner", Err: err}
	}
	return f()
}
