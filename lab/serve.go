package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/nodeinit"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/overlayfs"
)

// serverCapabilities are those of a server over its node's user namespace: it does for each process what that may
// do, as that process's user, and as the node's root what that may do.
const serverCapabilities = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID |
	1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID

// serve starts the server of a FUSE file system as nodeinit's serve describes: a process of the lab's pid namespace, which
// the kernel ends with the lab, root of the node's user namespace and of nothing else, in a root of its own. It runs on the mounter's
// thread, in whose mount namespace that is. It returns the mount, and a pipe that is hung up when the server has ended.
func (m *mounter) serve(s *overlayfs.Spec, p overlayfs.Program) (mount int, ends *os.File, err error) {
	filter, err := container.SeccompFilter("default", serverCapabilities)
	if err != nil {
		return -1, nil, err
	}
	ours, theirs, err := container.SocketPair()
	if err != nil {
		return -1, nil, err
	}
	conn, err := container.NewConn(ours)
	if err != nil {
		theirs.Close()
		return -1, nil, err
	}
	defer conn.Close()
	said, err := os.OpenFile(filepath.Join(m.at, "server.log"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		theirs.Close()
		return -1, nil, err
	}
	defer said.Close()
	pid, err := m.startServer(s.Scratch, theirs, said)
	theirs.Close()
	if err != nil {
		return -1, nil, fmt.Errorf("start %s: %w", p.Argv[0], err)
	}
	defer func() { _, _ = unix.Wait4(pid, nil, 0, nil) }()
	var w wire.Writer
	server := wire.Server{Argv: p.Argv, Env: p.Env, Hide: p.Hide, Cover: p.Cover, Caps: serverCapabilities, Filter: string(filter)}
	server.Encode(&w)
	var fds []int
	if s.Userns >= 0 {
		fds = append(fds, s.Userns)
	}
	if err := conn.Send(wire.Boot, w.Bytes(), fds...); err != nil {
		return -1, nil, fmt.Errorf("start %s: %w", p.Argv[0], err)
	}
	k, body, got, err := conn.Receive()
	if err == nil && k == wire.Ready && len(got) == 2 {
		return got[0], os.NewFile(uintptr(got[1]), "server of a union"), nil
	}
	closeFDs(got)
	if err == nil {
		f := wire.DecodeFailure(wire.NewReader(body))
		err = fmt.Errorf("%s: %w", f.Text, syscall.Errno(f.Errno))
	}
	text := make([]byte, 1000)
	n, _ := said.ReadAt(text, 0)
	return -1, nil, fmt.Errorf("start %s: %w: %s", p.Argv[0], err, strings.TrimSpace(string(text[:n])))
}

// startServer forks this program into the lab's pid namespace, with the limits and priorities of a fresh process, whoever has called this
// one. setns(2) of one counts for children, of this thread alone, which the mounter's is; it goes back at once.
func (m *mounter) startServer(dir string, socket, said *os.File) (int, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return -1, err
	}
	defer null.Close()
	own, err := os.Open("/proc/thread-self/ns/pid")
	if err != nil {
		return -1, err
	}
	defer own.Close()
	theirs, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", m.init))
	if err != nil {
		return -1, err
	}
	defer theirs.Close()
	if err := unix.Setns(int(theirs.Fd()), unix.CLONE_NEWPID); err != nil {
		return -1, fmt.Errorf("enter the lab's pid namespace: %w", err)
	}
	restore, err := standardLimits()
	if err != nil {
		return -1, errors.Join(err, unix.Setns(int(own.Fd()), unix.CLONE_NEWPID))
	}
	defer restore()
	standardThread()
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"nsnet: server"}, &syscall.ProcAttr{
		Dir: dir, Env: []string{nodeinit.EnvKey + "=serve", "GOMAXPROCS=1", "GOGC=off"},
		Files: []uintptr{null.Fd(), null.Fd(), said.Fd(), socket.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true}, // it never has the caller's terminal
	})
	if err == nil {
		standardOOMScore(pid)
	}
	return pid, errors.Join(err, unix.Setns(int(own.Fd()), unix.CLONE_NEWPID))
}

// ownProgram is the path of this program, which others may have replaced since it was started.
func ownProgram() (string, error) {
	const self = "/proc/self/exe"
	path, err := os.Readlink(self)
	if err != nil {
		return "", err
	}
	running, err := os.Stat(self)
	if err != nil {
		return "", err
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(running, now) {
		return "", fmt.Errorf("the nsnet program was replaced while it ran (%s); try again", path)
	}
	return path, nil
}
