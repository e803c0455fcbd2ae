package lab

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/topology"
)

// A lab outlives who has brought it up, and is the same whoever that was. What a process hands down to those that it starts, and a lab
// must not get of its caller, is taken away here: limits of resources, priorities, processors, personality. The umask
// is each process's own matter; signals are put right by a node's init.

// asIfFirst runs f, which starts the lab's init, with the limits, and on a thread with the priorities, of a process that the machine
// has just started, in the control group that enter puts it into, and as the user that a user namespace it makes is to be counted for; 0: as it is.
func asIfFirst(owner uint32, enter, f func() error) error {
	restore, err := standardLimits()
	if err != nil {
		return err
	}
	defer restore()
	onOwnThread(func() {
		standardThread()
		if err = enter(); err != nil { // as root: it would not be let in as somebody else
			err = &Error{Op: "start the lab", Err: err, Remedy: liftBound}
		} else if owner == 0 {
			err = f()
		} else {
			err = as(owner, f)
		}
	})
	return err
}

// onOwnThread runs f on a thread that ends with it. The main thread would not: it is the process to the kernel, of which control groups and
// /proc/self tell.
func onOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // not unlocked after f: the thread ends with this goroutine
		if unix.Gettid() != os.Getpid() {
			f()
			return
		}
		onOwnThread(f) // on another one, as this one is taken
		runtime.UnlockOSThread()
	}()
	<-done
}

// standardThread gives the calling thread the scheduling and the personality of a fresh process. What is refused stays as it is: no lab
// fails for that.
func standardThread() {
	const other, never = 0, 50_000 // SCHED_OTHER; timer slack in nanoseconds
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: other}, 0)
	var all unix.CPUSet
	for i := range len(all) * 8 * int(unsafe.Sizeof(all[0])) {
		all.Set(i)
	}
	_ = unix.SchedSetaffinity(0, &all) // those that the control group allows
	const process, none = 1, 0         // IOPRIO_WHO_PROCESS; IOPRIO_CLASS_NONE: as the nice value says
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, process, 0, none)
	_, _, _ = unix.Syscall(unix.SYS_PERSONALITY, 0, 0, 0)
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, never, 0, 0, 0)
}

// standardLimits gives this process the soft limits that a lab starts with, until restore. Here and not in the lab's init, as a user namespace
// keeps some of those that hold where it is made: create_user_ns in kernel/user_namespace.c.
func standardLimits() (restore func(), err error) {
	threads, err := container.MaxThreads()
	if err != nil {
		return nil, &Error{Op: "look at the limits of processes", Err: err}
	}
	pids, err := container.MaxPIDs()
	if err != nil {
		return nil, &Error{Op: "look at the limits of processes", Err: err}
	}
	previous := map[int]unix.Rlimit{}
	for _, l := range container.LabLimits(threads, pids) {
		var now unix.Rlimit
		if l.Resource == unix.RLIMIT_NOFILE || unix.Getrlimit(l.Resource, &now) != nil {
			continue // the Go runtime sees to the open files
		}
		if l.Resource == unix.RLIMIT_MSGQUEUE && l.Hard > now.Max && unix.Setrlimit(l.Resource, &unix.Rlimit{Cur: l.Soft, Max: l.Hard}) == nil {
			previous[l.Resource] = now // the kernel's own is for one user, and a lab is many
			continue
		}
		soft := l.Within(now.Max).Soft
		if soft == now.Cur {
			continue
		}
		if unix.Setrlimit(l.Resource, &unix.Rlimit{Cur: soft, Max: now.Max}) == nil {
			previous[l.Resource] = now
		}
	}
	return func() {
		for resource, l := range previous {
			_ = unix.Setrlimit(resource, &l)
		}
	}, nil
}

// standardOOMScore has the out-of-memory killer take a lab's init as it does any process. Lower than what a process without
// CAP_SYS_RESOURCE was given it cannot be set: the lab keeps that.
func standardOOMScore(pid int) {
	const mine = "/proc/self/oom_score_adj"
	if b, err := os.ReadFile(mine); err == nil && strings.TrimSpace(string(b)) != "0" {
		_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte("0"), 0)
	}
}

// needRights tells what the caller has given up for itself and for all that it starts, and these nodes need: nobody can take that back.
// capabilities(7), PR_SET_NO_NEW_PRIVS(2const).
func needRights(start []topology.Node) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return &Error{Op: "look at capabilities", Err: err}
	}
	const remedy = "start nsnet from a root shell, or a service, that does not do so"
	for _, c := range []struct {
		name string
		bit  int
	}{{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN}, {"CAP_NET_ADMIN", unix.CAP_NET_ADMIN}} {
		if have[0].Effective&(1<<c.bit) == 0 {
			return &Error{Err: fmt.Errorf("%w with %s: whoever has started nsnet has taken that away", ErrPermission, c.name), Remedy: remedy}
		}
	}
	set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil || set == 0 {
		return nil //nolint:nilerr // every kernel that nsnet runs on knows it
	}
	if i := slices.IndexFunc(start, func(n topology.Node) bool { return !n.NoNewPrivs }); i >= 0 {
		return &Error{Node: start[i].Name, Err: fmt.Errorf("%w that may gain privileges, for nnp: false: whoever has started nsnet has set no_new_privs", ErrPermission),
			Remedy: remedy + " (of systemd: NoNewPrivileges=no)"}
	}
	return nil
}
