package nodeinit

import (
	"syscall"
	"unsafe"

	"github.com/nsnet/nsnet/container/wire"
)

// Descriptors of a spawner, and of a node init until it has become a whole program.
const (
	programFD = 4 // the program that a node init becomes
	firstFree = 5
)

// IDs is how many user and group ids a node has.
const IDs = 65536

// Title is the argument that a spawner is to be started with besides its name: room for its
// children's names.
const Title = "                                                                                "

// spawn is a spawner: it forks node inits for the lab init. A fork costs with the memory and
// the descriptors of the process that forks, and the lab init has much of both, more with
// every node. Each request is answered by wire.Started with the pid and descriptors of the
// process, its network and its user namespace, or by wire.Failed. It ends with its socket,
// and its children become the lab init's.
//
// The children are not started anew by execve(2), see idle.
func spawn() int {
	syscall.CloseOnExec(Socket)
	limitFiles()
	_ = rawWriteFile("/proc/self/oom_score_adj", initScore)
	hold()
	c, t := newChannel(Socket), argv()
	for {
		k, body, socket, more := c.receive()
		if !more {
			return 0
		}
		if k != wire.Spawn || socket < 0 {
			return 1
		}
		r := wire.NewReader(body)
		n := spawned{name: r.String(), base: int(r.Uint()), owner: int(r.Uint()), processes: r.Uint(), privileged: r.Uint() == 1}
		if f := spawnFailure(r); f != ok {
			refuse(c, f)
			rawClose(socket)
			continue
		}
		spawnOne(c, t, &n, socket)
		rawClose(socket)
	}
}

// initScore has a node's init go after commands, which have 900, and before the lab's init, with which all nodes would end: a node's
// files in memory go with it. It is so low that it does not come before the smallest command under the least limit of memory. proc_pid_oom_score_adj(5).
const initScore = "250"

// Files is how many open files a node's commands may have, MostFiles how many they may allow themselves. getrlimit(2).
const (
	Files     = 1024
	MostFiles = 524288
)

// fileLimits returns these limits, as far as the hard limit allows.
func fileLimits() syscall.Rlimit {
	l := syscall.Rlimit{Cur: Files, Max: MostFiles}
	var now syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now) == nil {
		l.Max = min(now.Max, MostFiles)
		l.Cur = min(l.Max, Files)
	}
	return l
}

// limitFiles sets these limits. The Go runtime has raised the soft one for this process, and forks that
// it does not know of would have that.
func limitFiles() {
	l := fileLimits()
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
}

// spawned is a node init to be forked.
type spawned struct {
	name       string
	base       int    // its first id
	owner      int    // the id that it is charged to, see charge
	processes  uint64 // that its node may have
	privileged bool   // without a user namespace
}

// spawnOne starts a node init in new namespaces: UTS, IPC, PID, mount, network, and a user
// namespace unless privileged. clone(2).
func spawnOne(c *channel, t title, n *spawned, socket int) {
	flags := uintptr(syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET)
	spaces := []string{"net"}
	if !n.privileged {
		flags |= syscall.CLONE_NEWUSER
		spaces = append(spaces, "user")
		if f := charge(n.owner, n.processes); f != ok {
			refuse(c, f)
			return
		}
	}
	pid, pidfd, e := fork(flags)
	if pid == 0 && e == 0 {
		syscall.Exit(idle(t, n, socket))
	}
	if !n.privileged {
		if f := uncharge(); f != ok { // no other node may be this one's owner, or be made without rights
			if e == 0 {
				rawKill(pid)
				rawClose(pidfd)
			}
			refuse(c, f)
			return
		}
	}
	if e != 0 {
		refuse(c, fail(e, "create namespaces"))
		return
	}
	defer rawClose(pidfd)
	proc := "/proc/" + decimal(pid)
	if !n.privileged {
		ids := "0 " + decimal(n.base) + " " + decimal(IDs) + "\n"
		for _, file := range []string{"/uid_map", "/gid_map"} {
			if e := rawWriteFile(proc+file, ids); e != 0 {
				rawKill(pid)
				refuse(c, fail(e, "map its ids"))
				return
			}
		}
	}
	fds := []int{pidfd}
	defer func() {
		for _, fd := range fds[1:] {
			rawClose(fd)
		}
	}()
	for _, s := range spaces {
		fd, e := rawOpen(proc+"/ns/"+s, syscall.O_RDONLY)
		if e != 0 {
			rawKill(pid)
			refuse(c, fail(e, "open namespace "+s))
			return
		}
		fds = append(fds, fd)
	}
	var w wire.Writer
	w.Uint(uint64(pid))
	c.send(wire.Started, w.Bytes(), fds...)
}

func refuse(c *channel, f failure) {
	c.send(wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(f.errno), Text: f.text}))
}

// idle is a node init from its fork until there is a command to start. It is the fork of a Go
// process, with one thread and no scheduler behind it: it carries out programs, and waits, by
// straight code alone. Starting the Go program anew, a millisecond and a half and as many
// pages as it touches, is for nodes in which something is to run.
func idle(t title, n *spawned, socket int) int {
	defaultAll()
	if f := takeOver(socket); f != ok {
		return 1
	}
	t.set("nsnet: node " + n.name)
	setName()
	syscall.Umask(0)
	// The first message comes when the parent has mapped the ids.
	k, more := peek(Socket)
	if !n.privileged && more {
		_ = limitProcesses(0, true)
		if f := rootInside(); f != ok {
			send(Socket, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(f.errno), Text: f.text}))
			return 1
		}
	}
	s := &state{root: -1}
	for ; more; k, more = peek(Socket) {
		if k != wire.Boot && k != wire.Post {
			if e := room(); e != 0 {
				k, _, fds, complete := receive(Socket)
				if !complete {
					return 0
				}
				decline(k, fds, e)
				continue
			}
			// The request stays where it is, for the program.
			_ = setCloexec(Socket, false)
			e := become(programFD, []string{"nsnet: node " + n.name}, []string{EnvKey + "=node", "GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=8MiB"})
			send(Socket, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(e), Text: "start the node's init"}))
			return 1
		}
		_, body, fds, complete := receive(Socket)
		if !complete {
			return 0
		}
		s.carryOut(body, fds)
	}
	return 0 // the lab init is gone; so is, with this process, the node
}

// takeOver leaves the process its standard streams, its socket and the program, and nothing else
// of the spawner's.
func takeOver(socket int) failure {
	if err := syscall.Dup3(socket, Socket, syscall.O_CLOEXEC); err != nil {
		return failErr(err, "socket")
	}
	const sysCloseRange = 436 // on every architecture; Linux 5.9
	last := ^uint32(0)
	_, _, e := syscall.RawSyscall(sysCloseRange, firstFree, uintptr(last), 0)
	return fail(e, "close_range")
}

// rootInside makes the process root of its user namespace.
func rootInside() failure {
	for _, call := range []uintptr{syscall.SYS_SETGROUPS, syscall.SYS_SETRESGID, syscall.SYS_SETRESUID} {
		if _, _, e := syscall.RawSyscall(call, 0, 0, 0); e != 0 {
			return fail(e, "become root")
		}
	}
	return ok
}

func setCloexec(fd int, on bool) syscall.Errno {
	flag := uintptr(0)
	if on {
		flag = syscall.FD_CLOEXEC
	}
	_, _, e := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_SETFD, flag)
	return e
}

func setName() {
	name := [16]byte{'n', 's', 'n', 'e', 't', '-', 'n', 'o', 'd', 'e'}
	_, _ = prctl(prSetName, uintptr(unsafe.Pointer(&name)), 0)
}

func decimal(n int) string {
	var b [20]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(b[i:])
		}
	}
}
