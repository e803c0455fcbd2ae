package nodeinit

import (
	"syscall"
	"unsafe"

	"github.com/nsnet/nsnet/container/wire"
)

// serve starts the program that serves a FUSE file system, as root of a node's user namespace, and hands its mount
// over. It is started in the lab's pid namespace, with which the program ends, however that ends, and in a mount namespace
// where the union's layers are. One message tells it what to do: the program and its arguments, of which the last is
// where it mounts; descriptor: the user namespace, none for a node that has none. The program sees its working directory, where the
// layers are, at /tmp: the lab's own directories are closed to all but the host's root. It is answered by wire.Ready with a
// detached copy of the mount and the end of a pipe, or by wire.Failed. The program has the pipe's other end, and nobody else
// does: when the pipe is hung up, the program has ended, whoever its parent is by then.
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
	argv := wire.NewReader(body).Strings()
	if len(argv) < 2 {
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
		syscall.Exit(startServer(argv, userns))
	}
	_, _ = waitFor(pid)
	return 0
}

// startServer is the fork. The program forks once more, into the background, when it has mounted.
func startServer(argv []string, userns int) int {
	refuse := func(f failure) int {
		send(Socket, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(f.errno), Text: f.text}), nil)
		return 1
	}
	defaultAll()
	if userns >= 0 {
		if _, _, e := syscall.RawSyscall(sysSetns, uintptr(userns), syscall.CLONE_NEWUSER, 0); e != 0 {
			return refuse(fail(e, "enter the node's user namespace"))
		}
		if f := rootInside(); f != ok {
			return refuse(f)
		}
	}
	if _, _, e := syscall.RawSyscall(syscall.SYS_UNSHARE, syscall.CLONE_NEWNS, 0, 0); e != 0 {
		return refuse(fail(e, "create a mount namespace"))
	}
	if err := syscall.Mount(".", "/tmp", "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return refuse(failErr(err, "show the layers"))
	}
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		return refuse(failErr(err, "create a pipe"))
	}
	pid, _, e := fork(0)
	if e != 0 {
		return refuse(fail(e, "fork"))
	}
	if pid == 0 {
		_ = setCloexec(pipe[1], false)
		_ = syscall.Chdir("/")
		syscall.Umask(0)
		syscall.Exit(execute(argv))
	}
	status, e := waitFor(pid)
	if e != 0 || status != 0 {
		return refuse(fail(syscall.EIO, argv[0]+" ended with status "+decimal(status.ExitStatus())))
	}
	at, err := syscall.BytePtrFromString(argv[len(argv)-1])
	if err != nil {
		return refuse(failErr(err, "mount point"))
	}
	const cwd, cloneTree = -100, 1
	dir := cwd
	mount, _, e := syscall.RawSyscall(sysOpenTree, uintptr(dir), uintptr(unsafe.Pointer(at)), cloneTree|syscall.O_CLOEXEC)
	if e != 0 {
		return refuse(fail(e, argv[len(argv)-1]))
	}
	// The mount that is handed over is then the only one: with its end, the node's, the program's ends, too.
	if err := syscall.Unmount(argv[len(argv)-1], syscall.MNT_DETACH); err != nil {
		return refuse(failErr(err, "let go of the mount"))
	}
	send(Socket, wire.Ready, nil, []int{int(mount), pipe[0]})
	return 0
}

// execute becomes the program, with an environment of its own. It returns when that fails.
func execute(argv []string) int {
	args, err := syscall.SlicePtrFromStrings(argv)
	if err != nil {
		return 127
	}
	env, err := syscall.SlicePtrFromStrings([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"})
	if err != nil {
		return 127
	}
	syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(args[0])), uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&env[0]))) //nolint:errcheck // it returns with an error alone
	return 127
}

// waitFor waits for a child's end. wait4(2).
func waitFor(pid int) (syscall.WaitStatus, syscall.Errno) {
	var ws int32
	for {
		_, _, e := syscall.RawSyscall6(syscall.SYS_WAIT4, uintptr(pid), uintptr(unsafe.Pointer(&ws)), 0, 0, 0, 0)
		if e != syscall.EINTR {
			return syscall.WaitStatus(uint32(ws)), e
		}
	}
}
