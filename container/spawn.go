package container

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/nodeinit"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/internal/failpoint"
)

// IDs is how many user and group ids a node has.
const IDs = nodeinit.IDs

// ExitPoll is the exit code of a node init that can no longer wait for what happens.
const ExitPoll = nodeinit.ExitPoll

// Process is a node init, as its parent holds it.
type Process struct {
	name   string
	Conn   *Conn
	PID    int      // in the parent's pid namespace
	Pidfd  *os.File // pidfd_open(2)
	Userns *os.File // its user namespace, nil when it has none of its own; the caller may close it
	Netns  *os.File // the node's network namespace; holds it and its links even without the process
	Kept   []int    // what wire.OpKeep has opened, O_PATH
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

// Spawner is a small process that forks node inits. It is for one goroutine at a time.
type Spawner struct {
	conn *Conn
}

// NewSpawner starts a spawner. The program is given as an open file, made by Executable,
// so that no path of the host is needed.
func NewSpawner(exe *os.File) (*Spawner, error) {
	ours, theirs, err := SocketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	conn, err := NewConn(ours)
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(Devices+"/null", os.O_RDWR, 0)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("open the null device: %w", err)
	}
	defer null.Close()
	attr := &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{nodeinit.EnvKey + "=spawn", "GOMAXPROCS=1", "GOGC=off"},
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), theirs.Fd(), exe.Fd()},
	}
	if err := failpoint.Hit("fork", "spawner"); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("start the spawner: %w", explain(err))
	}
	if _, err := syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(int(exe.Fd())), []string{"nsnet: spawner", nodeinit.Title}, attr); err != nil {
		_ = conn.Close()
		if errors.Is(err, unix.ENOENT) {
			err = fmt.Errorf("%w: this nsnet needs a dynamic linker, which a lab has not; build it with CGO_ENABLED=0", err)
		}
		return nil, fmt.Errorf("start the spawner: %w", explain(err))
	}
	return &Spawner{conn}, nil
}

// Close ends the spawner. The node inits that it started stay.
func (s *Spawner) Close() error { return s.conn.Close() }

// Spawned is a node init that is to be started.
type Spawned struct {
	Name       string
	Base       uint32 // the first of its ids, in the caller's user namespace
	Owner      uint32 // an id that nobody has and what the node uses up of the kernel's is counted for
	Processes  uint64 // that it may have, 0: as many as the caller
	Privileged bool   // it has no user namespace, and no use of all these
}

// Spawn starts a node init in new namespaces: UTS, IPC, PID, mount, network, and a user
// namespace unless privileged. The cgroup
// namespace is the boot program's, as the process has to be in its cgroup first.
func (s *Spawner) Spawn(n Spawned) (*Process, error) {
	ours, theirs, err := SocketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	conn, err := NewConn(ours)
	if err != nil {
		return nil, err
	}
	p, err := s.spawn(&n, theirs)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	p.name, p.Conn = n.Name, conn
	return p, nil
}

func (s *Spawner) spawn(n *Spawned, socket *os.File) (*Process, error) {
	var w wire.Writer
	w.String(n.Name)
	w.Uint(uint64(n.Base))
	w.Uint(uint64(n.Owner))
	w.Uint(n.Processes)
	w.Uint(flag(n.Privileged))
	if failpoint.Enabled {
		errno, kill := failpoint.Errno("clone", n.Name)
		w.Uint(uint64(errno))
		w.Uint(flag(kill))
	}
	if err := s.conn.Send(wire.Spawn, w.Bytes(), int(socket.Fd())); err != nil {
		return nil, fmt.Errorf("ask the spawner: %w", err)
	}
	k, body, fds, err := s.conn.Receive()
	if err != nil {
		return nil, fmt.Errorf("ask the spawner: %w", err)
	}
	r := wire.NewReader(body)
	if k == wire.Failed {
		f := wire.DecodeFailure(r)
		return nil, fmt.Errorf("%s: %w", f.Text, explain(syscall.Errno(f.Errno)))
	}
	if k != wire.Started || len(fds) < 2 {
		closeFDs(fds)
		return nil, fmt.Errorf("the spawner answered with message %d and %d descriptors", k, len(fds))
	}
	p := &Process{PID: int(r.Uint()), Pidfd: os.NewFile(uintptr(fds[0]), "pidfd"), Netns: os.NewFile(uintptr(fds[1]), "netns")}
	if len(fds) > 2 {
		p.Userns = os.NewFile(uintptr(fds[2]), "userns")
	}
	return p, nil
}

// explain turns the errors that clone uses for limits into what they mean.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w: a limit of namespaces is reached", err)
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("%w: the limit of processes is reached", err)
	}
	return err
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

// injected has a step fail, or end the node's init, where a test wants that.
func (p *Process) injected(steps []wire.Step) []wire.Step {
	if !failpoint.Enabled {
		return steps
	}
	steps = slices.Clone(steps)
	for i := range steps {
		if errno, kill := failpoint.Errno("node "+p.name, steps[i].Label); errno != 0 || kill {
			steps[i] = wire.Step{Op: wire.OpFail, Label: steps[i].Label, Number: []uint64{uint64(errno), flag(kill)}}
		}
	}
	return steps
}

// Run has a node init carry out a program, as wire.Boot or wire.Post, and waits for it.
// Nothing else may receive from the process meanwhile.
func (p *Process) Run(k wire.Kind, steps []wire.Step, fds ...int) error {
	var w wire.Writer
	wire.Encode(&w, p.injected(steps))
	if err := p.Conn.Send(k, w.Bytes(), fds...); err != nil {
		return fmt.Errorf("send the program: %w", err)
	}
	k, body, got, err := p.Conn.Receive()
	if err != nil {
		closeFDs(got)
		return fmt.Errorf("the node init ended: %w", err)
	}
	if k == wire.Ready {
		p.Kept = append(p.Kept, got...)
		return nil
	}
	closeFDs(got)
	if k == wire.Failed {
		f := wire.DecodeFailure(wire.NewReader(body))
		label := "boot"
		if f.Step < len(steps) {
			label = steps[f.Step].Label
		}
		return &StepError{Label: label, Text: f.Text, Err: syscall.Errno(f.Errno)}
	}
	return fmt.Errorf("the node init answered with message %d", k)
}
