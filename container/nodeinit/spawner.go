package nodeinit

import (
	"syscall"

	"github.com/nsnet/nsnet/container/wire"
)

// Descriptors of a spawner besides Socket.
const (
	spawnerExe  = 4 // the program that node inits run
	spawnerNull = 5 // the null device
)

// IDs is how many user and group ids a node has.
const IDs = 65536

// spawn is a spawner: it forks node inits for the lab init. A fork costs with the memory and
// the descriptors of the process that forks, and the lab init has much of both, more with
// every node. Each request is answered by wire.Started with the pid and descriptors of the
// process, its network and its user namespace, or by wire.Failed. It ends with its socket,
// and its children become the lab init's.
func spawn() int {
	for fd := Socket; fd <= spawnerNull; fd++ {
		syscall.CloseOnExec(fd)
	}
	for {
		k, body, fds, more := receive(Socket)
		if !more {
			return 0
		}
		if k != wire.Spawn || len(fds) != 1 {
			return 1
		}
		r := wire.NewReader(body)
		name, base, privileged := r.String(), int(r.Uint()), r.Uint() == 1
		spawnOne(name, base, privileged, fds[0])
		closeAll(fds)
	}
}

// spawnOne starts a node init in new namespaces: UTS, IPC, PID, mount, network, and a user
// namespace unless privileged. clone(2).
func spawnOne(name string, base int, privileged bool, socket int) {
	pidfd := -1
	attr := &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{EnvKey + "=node", "GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=8MiB"},
		Files: []uintptr{spawnerNull, spawnerNull, spawnerNull, uintptr(socket)},
		Sys: &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
			PidFD:      &pidfd,
		},
	}
	if !privileged {
		attr.Sys.Cloneflags |= syscall.CLONE_NEWUSER
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: base, Size: IDs}}
		attr.Sys.UidMappings, attr.Sys.GidMappings = ids, ids
		attr.Sys.GidMappingsEnableSetgroups = true
		attr.Sys.Credential = &syscall.Credential{}
	}
	pid, err := syscall.ForkExec("/proc/self/fd/4", []string{"nsnet: node " + name}, attr)
	if err != nil {
		refuse(failErr(err, "create namespaces"))
		return
	}
	defer syscall.Close(pidfd)
	fds := []int{pidfd}
	spaces := []string{"net", "user"}
	if privileged {
		spaces = spaces[:1]
	}
	for _, s := range spaces {
		fd, err := syscall.Open("/proc/"+decimal(pid)+"/ns/"+s, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			closeAll(fds[1:])
			_ = syscall.Kill(pid, syscall.SIGKILL)
			refuse(failErr(err, "open namespace "+s))
			return
		}
		fds = append(fds, fd)
	}
	var w wire.Writer
	w.Uint(uint64(pid))
	send(Socket, wire.Started, w.Bytes(), fds)
	closeAll(fds[1:])
}

func refuse(f failure) {
	send(Socket, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(f.errno), Text: f.text}), nil)
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
