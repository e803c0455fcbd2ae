package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/proto"
)

// Exec runs a command in a node and returns its exit code: 128+n when signal n killed it,
// 127 when it was not found and 126 when it cannot be executed (with an error that says so). It returns when the command has ended and what
// that has written is passed on, whatever else has its streams still.
//
// On SIGINT, SIGTERM, SIGHUP, SIGQUIT and, as SIGTERM, when ctx ends, the signal is passed on to the command's process group. Exec itself ends with
// it, and returns 128+n, where nothing is to be waited for: of a command on a terminal, of one that has not started or has ended, and where a node does
// not take the signal that came before. The command is killed then. So is one on a terminal whose output nobody reads any more; the code is
// that of SIGPIPE.
func Exec(ctx context.Context, o ExecOptions) (int, error) { return execute(ctx, o, false) }

// execute is Exec, of nsnet itself or of a program of the node.
func execute(ctx context.Context, o ExecOptions, itself bool) (int, error) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	defer signal.Stop(signals)
	ends := &endings{signals: signals, over: ctx.Done()}
	code, err := execOnce(&o, ends, false, itself)
	if errors.Is(err, errNoPipes) && !itself {
		code, err = execOnce(&o, ends, true, false)
	}
	return code, err
}

// errNoPipes tells that a node's init is of an nsnet that made no pipes for commands.
var errNoPipes = errors.New("the node's init makes no pipes")

// execOnce runs the command, with pipes that are made here for the sake of an older lab, or by the node's init.
func execOnce(o *ExecOptions, ends *endings, older, itself bool) (int, error) {
	c, err := dial(o.Lab)
	if err != nil {
		return 0, err
	}
	r, err := newRelay(o, older)
	if err != nil {
		_ = c.Close()
		return 0, &Error{Lab: o.Lab, Node: o.Node, Op: "prepare the command's streams", Err: err}
	}
	defer r.close()
	req := proto.ExecRequest{Node: o.Node, Command: proto.Command{Argv: o.Argv, Env: o.Env, Workdir: o.Workdir, User: o.User, TTY: o.TTY, Streams: r.wanted}}
	if itself {
		req.Command.Streams |= wire.Itself
	}
	if o.TTY {
		req.Command.Rows, req.Command.Columns = terminalSize(o.Stdin, o.Stdout)
	}
	x := &execution{o: o, c: c, relay: r, ends: ends, messages: make(chan execMessage), done: make(chan struct{})}
	var conversing sync.WaitGroup
	defer func() {
		close(x.done)
		_ = c.Close()
		conversing.Wait() // what it sends stays open until then
	}()
	// A lab's init that does not read must not keep a signal from being heeded.
	conversing.Go(func() { x.converse(req) })
	return x.follow()
}

// endings are what may end an exec from outside.
type endings struct {
	signals <-chan os.Signal
	over    <-chan struct{}
}

// execution is the client's side of a command.
type execution struct {
	o        *ExecOptions
	c        *container.Conn
	relay    *relay
	ends     *endings
	messages chan execMessage
	done     chan struct{}

	started bool
	unheard bool // a signal was sent and not answered
}

type execMessage struct {
	kind wire.Kind
	body []byte
	fds  []int
	err  error
}

// converse sends the request and passes on what is answered.
func (x *execution) converse(req proto.ExecRequest) {
	err := proto.Send(x.c, proto.Exec, req, x.relay.given()...)
	for {
		m := execMessage{err: err}
		if err == nil {
			m.kind, m.body, m.fds, m.err = x.c.Receive()
		}
		select {
		case x.messages <- m:
		case <-x.done:
			closeFDs(m.fds)
			return
		}
		if m.err != nil {
			return
		}
	}
}

// follow waits for the command's end, and passes signals on until then.
func (x *execution) follow() (int, error) {
	for {
		select {
		case m := <-x.messages:
			if m.err != nil {
				if errors.Is(m.err, io.EOF) {
					m.err = errors.New("the node has ended")
				}
				_, _ = x.drain(0)
				return x.fail(m.err)
			}
			if code, ended, err := x.take(&m); ended || err != nil {
				return code, err
			}
		case s := <-x.ends.signals:
			if n, ok := s.(syscall.Signal); ok && x.pass(n) {
				return 128 + int(n), nil
			}
		case <-x.ends.over:
			x.ends.over = nil
			if x.pass(unix.SIGTERM) {
				return 128 + int(unix.SIGTERM), nil
			}
		case <-x.relay.cut:
			return 128 + int(unix.SIGPIPE), nil
		}
	}
}

// pass passes a signal on to the command, or tells that there is nobody to wait for any more.
func (x *execution) pass(n syscall.Signal) (end bool) {
	if !x.started || x.unheard {
		return true
	}
	var w wire.Writer
	w.Uint(uint64(n))
	_ = x.c.Send(wire.Signal, w.Bytes()) // a command that has just ended needs none
	x.unheard = true
	return x.o.TTY // as where a terminal hangs up; keys do not come this way
}

// drain waits until all that the command has written is passed on, then returns its exit code. A signal ends that.
func (x *execution) drain(code int) (int, error) {
	drained := make(chan error, 1)
	go func() { drained <- x.relay.drain() }()
	over := x.ends.over
	for {
		select {
		case err := <-drained:
			if err != nil {
				return x.fail(fmt.Errorf("pass its output on: %w", err))
			}
			return code, nil
		case s := <-x.ends.signals:
			if n, ok := s.(syscall.Signal); ok {
				return 128 + int(n), nil
			}
		case <-over:
			return 128 + int(unix.SIGTERM), nil
		case <-x.relay.cut: // nobody wants the rest
			return code, nil
		}
	}
}

func (x *execution) fail(err error) (int, error) {
	return 0, &Error{Lab: x.o.Lab, Node: x.o.Node, Op: "run the command", Err: err}
}

// take heeds a message of the lab's init, or of the node's.
func (x *execution) take(m *execMessage) (code int, ended bool, err error) {
	r := wire.NewReader(m.body)
	switch m.kind {
	case wire.Started:
		x.started = true
		return 0, false, x.relay.start(m.fds)
	case wire.Heard:
		x.unheard = false
	case wire.Exited:
		code, err = x.drain(exitCode(syscall.WaitStatus(r.Uint())))
		return code, true, err
	case wire.Failed:
		f := wire.DecodeFailure(r)
		if x.relay.wanted != 0 && syscall.Errno(f.Errno) == unix.EBADF && f.Text == "stdio" {
			return 0, true, errNoPipes
		}
		code, err = execFailure(x.o, &f)
		return code, true, err
	case proto.Failed:
		var f proto.ExecFailed
		if err := proto.Decode(m.body, &f); err != nil {
			_, err = x.fail(err)
			return 0, true, err
		}
		e := &Error{Lab: x.o.Lab, Node: x.o.Node, Err: fmt.Errorf("%w: %s", ErrNotRunning, f.Text)}
		switch {
		case f.Dead:
			e = &Error{Lab: e.Lab, Node: e.Node, Err: fmt.Errorf("%w: it is dead", ErrNotRunning), Remedy: deadNode}
		case f.Paused:
			e = &Error{Lab: e.Lab, Node: e.Node, Op: "run the command", Err: ErrPaused, Remedy: "let it go on with nsnet resume " + e.Lab + "/" + e.Node}
		}
		return 0, true, e
	}
	closeFDs(m.fds)
	return 0, false, nil
}

// execFailure turns a command that could not be started into a shell's exit code.
func execFailure(o *ExecOptions, f *wire.Failure) (int, error) {
	e := commandFault(f.Text, syscall.Errno(f.Errno))
	if e == nil {
		e = &Error{Op: "run", Object: f.Text, Err: syscall.Errno(f.Errno)}
	}
	e.Lab, e.Node = o.Lab, o.Node
	switch {
	case errors.Is(e.Err, ErrNoCommand):
		e.Remedy = "" // it is as plain as a shell's
		return 127, e
	case errors.Is(e.Err, ErrNotExecutable):
		e.Remedy = ""
		return 126, e
	}
	if errors.Is(e.Err, unix.EAGAIN) {
		e.Remedy, e.Err = fullOfProcesses(o)
	}
	return 0, e
}

// fullOfProcesses says which limit it is that lets a command not be started, and what to do.
func fullOfProcesses(o *ExecOptions) (remedy string, err error) {
	if l, err := readLab(dirOf(o.Lab)); err == nil {
		for i := range l.Nodes {
			if n := &l.Nodes[i]; n.Name == o.Node && n.Limits.Pids > 0 {
				return fmt.Sprintf("let some end, or allow more with nsnet update %s/%s --pids NUMBER", o.Lab, o.Node),
					fmt.Errorf("%w: the node has its %d processes and threads, pids in its limits", unix.EAGAIN, n.Limits.Pids)
			}
		}
	}
	return "look at kernel.pid_max, ulimit -u and the pids control groups above nsnet's", fmt.Errorf("%w: the host's limit of processes is reached", unix.EAGAIN)
}

// commandFault is what is wrong with a command that was not found fit to start, by what a node's init says of it; nil where that is not
// the command's own fault.
func commandFault(text string, errno syscall.Errno) *Error {
	if err := commandError(errno); err != nil {
		remedy := "name a program that the node's image has"
		if errno == unix.ENOEXEC {
			remedy = "a script begins with a line such as #!/bin/sh, and a program is for this machine's processor"
		}
		return &Error{Op: "run", Object: text, Err: err, Remedy: remedy}
	}
	switch errno {
	case unix.ELIBACC:
		remedy := "name an interpreter that the node's image has"
		if strings.Contains(text, "Windows line ends") {
			remedy = "make them Unix's with sed -i 's/\\r$//' FILE"
		}
		return &Error{Op: "run the command", Err: fmt.Errorf("%w: %s", ErrNotExecutable, text), Remedy: remedy}
	case unix.E2BIG:
		return &Error{Op: "run the command", Err: fmt.Errorf("%w: %s", ErrNotExecutable, text), Remedy: "pass it in a file"}
	case unix.ERANGE:
		return &Error{Op: "run the command", Err: errors.New(text), Remedy: fmt.Sprintf("give the user an id below %d; only privileged nodes have the host's ids", container.IDs)}
	case unix.ENOTDIR: // the text is "in DIR"
		return &Error{Op: "run the command", Object: text, Err: errno, Remedy: "name a working directory that the node has"}
	case unix.EINVAL: // the text says which name is in none of the node's files
		return &Error{Op: "run the command", Err: errors.New(text), Remedy: "name a user and a group that the node's /etc/passwd and /etc/group have, or numbers"}
	}
	return nil
}

// commandError is why a command cannot be run, as far as that is the command's own fault.
func commandError(errno syscall.Errno) error {
	switch errno {
	case unix.ENOENT:
		return ErrNoCommand
	case unix.EACCES, unix.EPERM, unix.ENOEXEC, unix.EISDIR, unix.ELOOP, unix.ENAMETOOLONG, unix.ETXTBSY, unix.ELIBBAD:
		return fmt.Errorf("%w: %w", ErrNotExecutable, errno)
	}
	return nil
}
