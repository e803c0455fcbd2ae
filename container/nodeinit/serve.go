package nodeinit

import (
	"syscall"

	"github.com/nsnet/nsnet/container/wire"
)

// serve starts the program that serves a FUSE file system, as root of a node's user namespace, and hands its mount
// over. It is started in the lab's pid namespace, with which the program ends, however that ends, in the directory that is to be the program's
// root. One message tells it what to do, a wire.Server; descriptor: the user namespace, none for a node that has none. It
// is answered by wire.Ready with a detached mount and the end of a pipe, or by wire.Failed. The program
// has the pipe's other end, and nobody else does: when the pipe is hung up, the program has ended, whoever its parent is by then.
//
// The node can steer the program, which therefore sees its root and nothing else: namespaces of its own, an empty network, no
// capability that mounts, traces or makes devices, a seccomp filter, no descriptors. It does not even mount: fuseMount does,
// and giveFuse lets the program have the connection, in the way of fusermount(1).
//
// A kernel lets who has opened /dev/fuse mount in its own user namespace only, and lets only processes of that
// one and of those below use the mount (allow_other): the program has to be in the node's own. Nobody in the node sees it, as it is
// in the lab's pid namespace.
//
// A process with threads cannot enter a user namespace (setns(2)): it is the fork of this one that does.
func serve() int {
	if e := setCloexec(Socket, true); e != 0 {
		return 1
	}
	k, body, fds, more := receive(Socket)
	if !more || k != wire.Boot {
		return 1
	}
	r := wire.NewReader(body)
	s := wire.DecodeServer(r)
	if r.Bad || len(s.Argv) < 2 {
		return 1
	}
	userns := -1
	if len(fds) > 0 {
		userns = fds[0]
	}
	hold()
	pid, _, e := fork(0)
	if e != 0 {
		return 1
	}
	if pid == 0 {
		mount, ends, f := startServer(&s, userns)
		if f != ok {
			send(Socket, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(f.errno), Text: f.text}))
			syscall.Exit(1)
		}
		if e := pass(Socket, wire.Ready, nil, []int{mount, ends}); e == syscall.ETOOMANYREFS {
			send(Socket, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(e), Text: "pass the mount on"}))
		}
		syscall.Exit(0)
	}
	_, _ = waitFor(pid)
	return 0
}

// startServer is the fork. The program forks once more, into the background, when it serves.
func startServer(s *wire.Server, userns int) (mount, ends int, f failure) {
	defaultAll()
	if userns >= 0 {
		if _, _, e := syscall.RawSyscall(sysSetns, uintptr(userns), syscall.CLONE_NEWUSER, 0); e != 0 {
			return -1, -1, fail(e, "enter the node's user namespace")
		}
		if f := rootInside(); f != ok {
			return -1, -1, f
		}
	}
	const apart = syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
	if _, _, e := syscall.RawSyscall(syscall.SYS_UNSHARE, apart, 0, 0); e != 0 {
		return -1, -1, fail(e, "create namespaces")
	}
	if f := enterHere(); f != ok {
		return -1, -1, f
	}
	connection, mount, f := fuseMount()
	if f != ok {
		return -1, -1, f
	}
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		return -1, -1, failErr(err, "create a pipe")
	}
	pid, _, e := fork(0)
	if e != 0 {
		return -1, -1, fail(e, "fork")
	}
	if pid == 0 {
		syscall.Exit(becomeServer(s, connection, pipe[1]))
	}
	_ = syscall.Close(pipe[1])
	_ = syscall.Close(connection)
	status, e := waitFor(pid)
	if e != 0 || status != 0 {
		return -1, -1, fail(syscall.EIO, s.Argv[0]+" ended with status "+decimal(status.ExitStatus()))
	}
	if mount, f = cover(mount, s.Argv[len(s.Argv)-1], s.Hide, s.Cover); f != ok {
		return -1, -1, f
	}
	return mount, pipe[0], ok
}
