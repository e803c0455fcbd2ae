package execute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/conn"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/internal/waiting"
	"github.com/nsnet/nsnet/lab/stall"
)

// Options say what to run in a node. The command gets pipes, which are relayed to Stdin, Stdout and Stderr; with TTY it gets a
// new pseudo-terminal of the node, relayed to Stdin and Stdout. Of the files, only Stdin is handed over, where it is a regular
// one open for reading that everybody may read and nobody write.
type Options struct {
	Lab, Node string
	Argv      []string
	Env       []string // added to the node's
	Workdir   string   // empty: the node's
	User      string   // empty: the node's
	TTY       bool
	Stdin     *os.File // nil: empty
	Stdout    *os.File // nil: nobody wants it
	Stderr    *os.File
	ByContext bool // no signal is caught: the end of the context alone ends it
}

// Run runs a command in a node, or nsnet itself there, by a connection to its lab's init, and returns its exit code: 128+n when signal n killed it. It returns when
// the command has ended and what that has written is passed on, whatever else has its streams still. Its errors are those of dial,
// *NotStarted, *Refused and *Error.
//
// On SIGINT, SIGTERM, SIGHUP, SIGQUIT and, as SIGTERM, when ctx ends, the signal is passed on to the command's process group. Run itself ends with
// it, and returns 128+n, where nothing is to be waited for: of a command on a terminal, of one that has not started or has ended, and where a node does
// not say within two seconds that it has taken the signal. The command is killed then. So is one on a terminal whose output nobody reads any more; the code is
// that of SIGPIPE. Where a command does not start soon it is said, by waiting.Say, what is waited for.
func Run(ctx context.Context, dial func() (*conn.Conn, error), o *Options, itself bool) (int, error) {
	signals := make(chan os.Signal, 16)
	defer signal.Stop(signals)
	ends := &endings{signals: signals, over: ctx.Done()}
	ends.started = waiting.Say(ctx, func() string { return stall.Node(o.Lab, o.Node) })
	defer ends.started()
	code, err := once(dial, o, ends, false, itself)
	if errors.Is(err, errNoPipes) && !itself {
		code, err = once(dial, o, ends, true, false)
	}
	return code, err
}

// errNoPipes tells that a node's init is of an nsnet that made no pipes for commands.
var errNoPipes = errors.New("the node's init makes no pipes")

// once runs the command, with pipes that are made here for the sake of an older lab, or by the node's init.
func once(dial func() (*conn.Conn, error), o *Options, ends *endings, older, itself bool) (int, error) {
	c, err := dial()
	if err != nil {
		return 0, err
	}
	r, err := newRelay(o, older)
	if err != nil {
		_ = c.Close()
		return 0, &Error{Op: "prepare the command's streams", Err: err}
	}
	defer r.close()
	req := Request{Node: o.Node, Command: Command{Argv: o.Argv, Env: o.Env, Workdir: o.Workdir, User: o.User, TTY: o.TTY, Streams: r.wanted}}
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
	// This takes a while, and the node's init is at work meanwhile. What comes before ends this process, and with it the command.
	if !o.ByContext {
		signal.Notify(ends.signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	}
	return x.follow()
}

// endings are what may end an exec from outside.
type endings struct {
	signals chan os.Signal
	over    <-chan struct{}
	started func() // nobody waits for the start any more, and it need not be said for whom
}

// execution is the client's side of a command.
type execution struct {
	o        *Options
	c        *conn.Conn
	relay    *relay
	ends     *endings
	messages chan execMessage
	done     chan struct{}

	started bool
	unheard bool             // a signal was sent and not answered
	sent    syscall.Signal   // that signal
	deaf    <-chan time.Time // when that means that the node does not answer
}

// hearing is how long a node may take to say that it has heard of a signal. It is far more than a busy one takes.
const hearing = 2 * time.Second

type execMessage struct {
	kind wire.Kind
	body []byte
	fds  []int
	err  error
}

// converse sends the request and passes on what is answered.
func (x *execution) converse(req Request) {
	body, err := json.Marshal(req)
	if err == nil {
		err = x.c.Send(Ask, body, x.relay.given()...)
	}
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
		case <-x.deaf:
			if x.deaf = nil; x.unheard {
				return 128 + int(x.sent), nil
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
	x.unheard, x.sent, x.deaf = true, n, time.After(hearing)
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
	return 0, &Error{Op: "run the command", Err: err}
}

// take heeds a message of the lab's init, or of the node's.
func (x *execution) take(m *execMessage) (code int, ended bool, err error) {
	r := wire.NewReader(m.body)
	switch m.kind {
	case wire.Started:
		x.started = true
		x.ends.started()
		return 0, false, x.relay.start(m.fds)
	case wire.Heard:
		x.unheard, x.deaf = false, nil
	case wire.Exited:
		code, err = x.drain(ExitCode(syscall.WaitStatus(r.Uint())))
		return code, true, err
	case wire.Failed:
		f := wire.DecodeFailure(r)
		if x.relay.wanted != 0 && syscall.Errno(f.Errno) == unix.EBADF && f.Text == "stdio" {
			return 0, true, errNoPipes
		}
		return 0, true, &NotStarted{f}
	case Refuse:
		var r Refused
		if err := json.Unmarshal(m.body, &r); err != nil {
			_, err = x.fail(err)
			return 0, true, err
		}
		return 0, true, &r
	}
	closeFDs(m.fds)
	return 0, false, nil
}

// ExitCode is a shell's: the command's own, or 128 and the signal.
func ExitCode(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
