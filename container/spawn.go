package container

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/nodeinit"
	"github.com/nsnet/nsnet/container/wire"
)

// IDs is how many user and group ids a node has.
const IDs = 65536

// Process is a node init, as its parent holds it.
type Process struct {
	Conn  *Conn
	PID   int      // in the parent's pid namespace
	Pidfd *os.File // pidfd_open(2)
	Netns *os.File // the node's network namespace; holds it and its links even without the process
}

// Executable duplicates the descriptor of the program that inits run to a number above
// those that a child is given its own files at. fcntl(2) F_DUPFD_CLOEXEC.
func Executable(fd int) (*os.File, error) {
	const above = 16
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, above)
	_ = unix.Close(fd)
	if err != nil {
		return nil, fmt.Errorf("duplicate the program's descriptor: %w", err)
	}
	return os.NewFile(uintptr(high), "nsnet"), nil
}

// Spawn starts a node init in new namespaces: UTS, IPC, PID, mount, network, and a user
// namespace whose ids start at base in the caller's, unless privileged. The executable is
// given as an open file, made by Executable, so that no path of the host is needed. The cgroup namespace
// is the boot program's, as the process has to be in its cgroup first. clone(2).
func Spawn(exe *os.File, name string, base uint32, privileged bool) (*Process, error) {
	ours, theirs, err := SocketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	null, err := os.OpenFile(Devices+"/null", os.O_RDWR, 0)
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("open the null device: %w", err)
	}
	defer null.Close()
	var pidfd int
	attr := &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{nodeinit.EnvKey + "=node", "GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=8MiB"},
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), theirs.Fd()},
		Sys: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET,
			PidFD:      &pidfd,
		},
	}
	if !privileged {
		attr.Sys.Cloneflags |= unix.CLONE_NEWUSER
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(base), Size: IDs}}
		attr.Sys.UidMappings, attr.Sys.GidMappings = ids, ids
		attr.Sys.GidMappingsEnableSetgroups = true
		attr.Sys.Credential = &syscall.Credential{}
	}
	pid, err := fork("/proc/self/fd/"+strconv.Itoa(int(exe.Fd())), []string{"nsnet: node " + name}, attr)
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("create namespaces: %w", explain(err))
	}
	p := &Process{PID: pid, Pidfd: os.NewFile(uintptr(pidfd), "pidfd")}
	if p.Conn, err = NewConn(ours); err == nil {
		p.Netns, err = os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	}
	if err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// fork forks with the signals blocked that the node init takes from a signalfd.
func fork(path string, argv []string, attr *syscall.ProcAttr) (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var block, old unix.Sigset_t
	for _, s := range nodeinit.Forwarded() {
		block.Val[(s-1)/64] |= 1 << ((s - 1) % 64)
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &block, &old); err != nil {
		return 0, err
	}
	pid, err := syscall.ForkExec(path, argv, attr)
	if rerr := unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil); err == nil {
		err = rerr
	}
	return pid, err
}

// explain turns the errors that clone uses for limits into what they mean.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w: a limit of namespaces is reached; look at the values below /proc/sys/user/, max_net_namespaces and max_user_namespaces above all", err)
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("%w: the limit of processes is reached (pids cgroup, ulimit -u or kernel.pid_max)", err)
	}
	return err
}

// Userns opens the process's user namespace.
func (p *Process) Userns() (*os.File, error) {
	return os.Open("/proc/" + strconv.Itoa(p.PID) + "/ns/user")
}

// Kill ends the process and with it every process of its pid namespace.
func (p *Process) Kill() {
	_ = unix.PidfdSendSignal(int(p.Pidfd.Fd()), unix.SIGKILL, nil, 0)
	if p.Conn != nil {
		_ = p.Conn.Close()
	}
	_ = p.Pidfd.Close()
	if p.Netns != nil {
		_ = p.Netns.Close()
	}
}

// StepError is a program's step that failed.
type StepError struct {
	Label string
	Text  string
	Err   error
}

func (e *StepError) Error() string {
	if e.Text == "" || e.Text == "/" {
		return fmt.Sprintf("%s: %v", e.Label, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", e.Label, e.Text, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// Run has a node init carry out a program, as wire.Boot or wire.Post, and waits for it.
// Nothing else may receive from the process meanwhile.
func (p *Process) Run(k wire.Kind, steps []wire.Step, fds ...int) error {
	var w wire.Writer
	wire.Encode(&w, steps)
	if err := p.Conn.Send(k, w.Bytes(), fds...); err != nil {
		return fmt.Errorf("send the program: %w", err)
	}
	k, body, got, err := p.Conn.Receive()
	closeFDs(got)
	if err != nil {
		return fmt.Errorf("the node init ended: %w", err)
	}
	switch k {
	case wire.Ready:
		return nil
	case wire.Failed:
		f := wire.DecodeFailure(wire.NewReader(body))
		label := "boot"
		if f.Step < len(steps) {
			label = steps[f.Step].Label
		}
		return &StepError{Label: label, Text: f.Text, Err: syscall.Errno(f.Errno)}
	}
	return fmt.Errorf("the node init answered with message %d", k)
}
