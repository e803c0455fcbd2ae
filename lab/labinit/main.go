package labinit

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/nodeinit"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/proto"
)

// Descriptors that a lab init is started with.
const (
	SocketFD  = 3 // stream socket to up
	ControlFD = 4 // listening control socket
	AliveFD   = 5 // the lab's life lock, held by being open
	KeptFD    = 6 // the lock of what nodes keep, or the life lock once more, as are all below in the beginning

	// Sockets that the lab's tables on the host live by.
	TableFD    = 7 // its own
	Transit4FD = 8 // the table of what the host is not to forward, of IPv4
	Transit6FD = 9 // and of IPv6
)

// EnvValue of nodeinit.EnvKey marks a process that is to be a lab init.
const EnvValue = "lab"

// Wanted tells whether this process was started to be a lab init: the environment alone may be anybody's.
func Wanted() bool {
	var st unix.Stat_t
	return os.Getenv(nodeinit.EnvKey) == EnvValue && os.Getpid() == 1 && unix.Fstat(SocketFD, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK
}

// A process has the name of its first thread, on which Go initialises packages, and Main is perhaps on another. By the name lab inits are found
// that have no record any more; it would be the number of a descriptor.
func init() {
	if Wanted() {
		name := [16]byte{'n', 's', 'n', 'e', 't', '-', 'l', 'a', 'b'}
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name)), 0, 0, 0)
	}
}

// Main is the lab init. It returns when it cannot go on; the caller exits, and the kernel
// takes down all that the lab is made of.
func Main() int {
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE)
	forgetCaller()
	if err := unix.CloseRange(SocketFD, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	up, err := container.NewConn(os.NewFile(SocketFD, "up"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	l, s := &labInit{ports: map[string]port{}, super: newSupervisor(), room: newRoom(0)}, newSession(up)
	err = l.run(s) // returns only when something is wrong: a lab ends by SIGKILL
	fmt.Fprintln(os.Stderr, err)
	_ = s.send(proto.Failed, failure(err))
	return 1
}

// buildError says at what a build failed.
type buildError struct {
	op, node, object string
	err              error
}

func (e *buildError) Error() string {
	return fmt.Sprintf("%s %s %s: %v", e.op, e.node, e.object, e.err)
}
func (e *buildError) Unwrap() error { return e.err }

func failure(err error) proto.Failure {
	f := proto.Failure{Op: "build the lab", Text: err.Error()}
	var b *buildError
	if errors.As(err, &b) {
		f.Op, f.Node, f.Object, f.Text = b.op, b.node, b.object, b.err.Error()
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		f.Errno = uint32(errno)
	}
	var step *container.StepError
	if errors.As(err, &step) && step.Label == container.FindCommand {
		f.Command = step.Text
	}
	return f
}

// run builds the lab, waits for its commitment, and serves it.
func (l *labInit) run(s *session) error {
	k, body, fds, err := s.conn.Receive()
	if err != nil {
		return err
	}
	if k != proto.Spec || len(fds) < 2 {
		return fmt.Errorf("unexpected message %d with %d descriptors", k, len(fds))
	}
	var spec proto.LabSpec
	if err := proto.Decode(body, &spec); err != nil {
		return err
	}
	if l.exe, err = container.Executable(fds[0]); err != nil {
		return err
	}
	if err := enterRoot(fds[1]); err != nil {
		return err
	}
	_ = unix.Close(fds[1])
	l.hold(fds[2:])
	go s.listen()
	go endWithUp(s)
	go l.reap()
	if err := l.build(s, &spec); err != nil {
		return err
	}
	c, err := await(s, s.commit)
	if err != nil {
		return err
	}
	if err := l.announce(l.strangers); err != nil { // among the lab's own there is nothing yet to be mended
		return err
	}
	if err := l.quiet.begin(len(l.all())); err != nil { // before commands change what is theirs
		return err
	}
	refused, err := l.finish(&c, false, s.ended)
	if err != nil {
		return err
	}
	if err := s.send(proto.Started, proto.StartedReport{Refused: refused}); err != nil {
		// up is gone after its commitment; the lab is on its own anyway.
		fmt.Fprintln(os.Stderr, err)
	}
	_ = s.conn.Close()
	return l.serve()
}

// endWithUp ends the lab when up goes before its commitment.
func endWithUp(s *session) {
	<-s.ended
	if s.done.Load() {
		return
	}
	if !errors.Is(s.err, io.EOF) { // up is there and should know
		_ = s.send(proto.Failed, failure(&buildError{op: "build the lab", err: s.err}))
	}
	os.Exit(1)
}

// serve answers the control socket for as long as the lab lives.
func (l *labInit) serve() error {
	f := os.NewFile(ControlFD, "control")
	ln, err := net.FileListener(f)
	if err != nil {
		return err
	}
	_ = f.Close()
	left, err := spareDescriptors()
	if err != nil {
		return err
	}
	return l.attend(ln, newClients(left/2)) // the ports have the other half
}

// attend answers the clients of a socket.
func (l *labInit) attend(ln net.Listener, clients *clients) error {
	for {
		c, err := accept(ln)
		if err != nil {
			return err
		}
		u, ok := c.(*net.UnixConn)
		if !ok {
			_ = c.Close()
			continue
		}
		client := clients.admit(u)
		go l.answer(client)
	}
}

// accept takes the next connection. A want of descriptors or memory passes, with the
// connections that have them: it must neither end a lab nor close a published port.
func accept(ln net.Listener) (net.Conn, error) {
	for {
		c, err := ln.Accept()
		if !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENFILE) && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.ENOMEM) {
			return c, err
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // no event tells of it, and the listener stays readable
	}
}

// answer serves one client. Only the owner of the lab can reach the socket.
func (l *labInit) answer(c *client) {
	defer c.leave()
	k, body, fds, err := c.receive()
	if errors.Is(err, unix.EMFILE) {
		_ = c.fail(proto.ExecFailed{Text: "the lab's init is out of descriptors: " + err.Error()})
	}
	if err != nil {
		return
	}
	if k == proto.Change {
		var spec proto.ChangeSpec
		err := proto.Decode(body, &spec)
		if err == nil && !c.wait() {
			closeAll(fds)
			return
		}
		if err == nil {
			err = l.change(newSession(c.Conn), &spec, fds)
		}
		if err != nil {
			_ = c.fail(failure(err))
		}
		return
	}
	defer func() { closeAll(fds) }()
	if k == proto.Try {
		var spec proto.TrySpec
		err := proto.Decode(body, &spec)
		if err == nil && !c.wait() {
			return
		}
		if err == nil {
			err = l.try(newSession(c.Conn), &spec)
		}
		if err != nil {
			_ = c.fail(failure(err))
		}
		return
	}
	switch k {
	case proto.Status:
		var r proto.StatusRequest
		if err := proto.Decode(body, &r); len(body) > 0 && err != nil { // an older nsnet sends none
			return
		}
		if r.Settled {
			if !c.wait() {
				return
			}
			l.changing.Lock()
			l.changing.Unlock() //nolint:staticcheck // it was waited for
		}
		c.reply(l.statusOf(r.Node))
	case proto.Settled:
		var r proto.SettledNote
		if err := proto.Decode(body, &r); err != nil {
			return
		}
		l.quiet.settle(r.Turn)
	case proto.Exec:
		var r proto.ExecRequest
		if err := proto.Decode(body, &r); err != nil {
			return
		}
		if err := l.exec(c.Conn, &r, fds); err != nil {
			_ = c.fail(proto.ExecFailed{Text: err.Error(), Paused: errors.Is(err, errPaused), Dead: errors.Is(err, errDead), Unmade: errors.Is(err, errUnmade)})
		}
	case proto.Uppers:
		var r proto.UppersRequest
		if err := proto.Decode(body, &r); err != nil {
			return
		}
		if n := l.node(r.Node); n != nil {
			n.mu.Lock() // a change that removes the node closes them
			paths := n.upperPaths
			own, err := duplicates(n.uppers)
			n.mu.Unlock()
			if err == nil {
				c.reply(proto.UppersReply{Paths: paths}, own...)
				closeAll(own)
			}
		}
	case proto.Charged:
		var r proto.ChargedNote
		if err := proto.Decode(body, &r); err != nil {
			return
		}
		if n := l.node(r.Node); n != nil && len(fds) == 1 {
			l.charge(n, &r, fds[0])
			fds = nil
		}
		c.reply(struct{}{})
	case proto.Pause:
		var r proto.PauseRequest
		if err := proto.Decode(body, &r); err != nil {
			return
		}
		l.pause(&r)
		c.reply(struct{}{})
	case proto.Control:
		var r proto.ControlRequest
		if err := proto.Decode(body, &r); err != nil || !c.wait() {
			return
		}
		c.reply(l.control(&r, hangUp(c.Conn)))
	case proto.Kill:
		var r proto.KillRequest
		if err := proto.Decode(body, &r); err != nil {
			return
		}
		c.reply(l.kill(&r))
	case proto.Announce:
		var r proto.AnnounceRequest
		var reply proto.AnnounceReply
		if err := proto.Decode(body, &r); err != nil {
			return
		}
		if err := l.announce(r.Nodes); err != nil {
			reply.Failed = err.Error()
		}
		c.reply(reply)
	case proto.Await:
		var r proto.AwaitRequest
		if err := proto.Decode(body, &r); err != nil || !c.wait() {
			return
		}
		c.reply(l.await(&r, hangUp(c.Conn)))
	}
}

// exec hands a client's connection over to the node's init.
func (l *labInit) exec(c *container.Conn, r *proto.ExecRequest, fds []int) error {
	n := l.node(r.Node)
	if n == nil {
		return errUnmade
	}
	f, err := c.File()
	if err != nil {
		return err
	}
	defer f.Close()
	// The node init reads it without a poller.
	if err := unix.SetNonblock(int(f.Fd()), false); err != nil {
		return err
	}
	return n.exec(wire.Command(r.Command), append([]int{int(f.Fd())}, fds...)...)
}

// exec has a node's init run a command, and returns when that has been told so. Descriptors, which stay the caller's: the client's
// socket, stdin, stdout, stderr.
func (n *node) exec(cmd wire.Command, fds ...int) error {
	own, err := duplicates(fds)
	if err != nil {
		return err
	}
	m, err := n.ask(cmd, own)
	if err != nil {
		closeAll(own)
		return err
	}
	if err := n.out.await(m, patience); !errors.Is(err, net.ErrClosed) && !errors.Is(err, unix.EPIPE) {
		return err
	}
	return errors.New("the node has ended")
}

// ask puts the request for a command into the outbox.
func (n *node) ask(cmd wire.Command, fds []int) (*message, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	cmd.Env = container.Environ(&n.spec, cmd.Env)
	if cmd.Workdir == "" {
		cmd.Workdir = n.spec.Workdir
	}
	if cmd.User == "" {
		cmd.User = n.spec.User
	}
	var w wire.Writer
	cmd.Encode(&w)
	if n.dead {
		return nil, errDead
	}
	if n.paused {
		return nil, errPaused
	}
	return n.out.put(n.proc.Conn, wire.Exec, w.Bytes(), fds...), nil
}

// reap waits for children. Of a node's init it is told how it has ended.
func (l *labInit) reap() {
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, unix.SIGCHLD)
	for range sig {
		for {
			var ws syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &ws, unix.WNOHANG, nil)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
			l.reaped(pid, ws)
		}
	}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
