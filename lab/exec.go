package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/proto"
)

// Exec runs a command in a node and returns its exit code: 128+n when signal n killed it,
// 127 when it was not found and 126 when it cannot be executed (with an error that says so). A command on a terminal whose output nobody reads any more
// is killed, and its code that of SIGPIPE.
// When ctx ends, or on SIGINT, SIGTERM, SIGHUP, SIGQUIT while it runs, the signal is passed on.
func Exec(ctx context.Context, o ExecOptions) (int, error) {
	c, err := dial(o.Lab)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	req := proto.ExecRequest{Node: o.Node, Command: proto.Command{Argv: o.Argv, Env: o.Env, Workdir: o.Workdir, User: o.User, TTY: o.TTY}}
	var fds []int
	if o.TTY {
		req.Command.Rows, req.Command.Columns = terminalSize(o.Stdin, o.Stdout)
	} else {
		for _, f := range []*os.File{o.Stdin, o.Stdout, o.Stderr} {
			if f == nil {
				if f, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
					return 0, err
				}
				defer f.Close()
			}
			fds = append(fds, int(f.Fd()))
		}
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	defer signal.Stop(signals)
	if err := proto.Send(c, proto.Exec, req, fds...); err != nil {
		return 0, &Error{Lab: o.Lab, Node: o.Node, Op: "run the command", Err: err}
	}
	done := make(chan struct{})
	defer close(done)
	go passSignals(ctx, c, signals, done)
	return follow(c, &o)
}

// passSignals sends the caller's signals to the command until it is done.
func passSignals(ctx context.Context, c *container.Conn, signals <-chan os.Signal, done <-chan struct{}) {
	send := func(n syscall.Signal) {
		var w wire.Writer
		w.Uint(uint64(n))
		_ = c.Send(wire.Signal, w.Bytes()) // a command that has just ended needs none
	}
	over := ctx.Done()
	for {
		select {
		case s := <-signals:
			if n, ok := s.(syscall.Signal); ok {
				send(n)
			}
		case <-over:
			over = nil
			send(unix.SIGTERM)
		case <-done:
			return
		}
	}
}

// follow waits for the command's end.
func follow(c *container.Conn, o *ExecOptions) (int, error) {
	fail := func(err error) (int, error) {
		return 0, &Error{Lab: o.Lab, Node: o.Node, Op: "run the command", Err: err}
	}
	var relayed *terminal
	for {
		k, body, fds, err := c.Receive()
		if err != nil {
			if relayed.close(); relayed != nil && relayed.cut {
				return 128 + int(unix.SIGPIPE), nil
			}
			if errors.Is(err, io.EOF) {
				err = errors.New("the node has ended")
			}
			return fail(err)
		}
		r := wire.NewReader(body)
		switch k {
		case wire.Started:
			if o.TTY && len(fds) == 1 {
				relayed = relay(os.NewFile(uintptr(fds[0]), "terminal"), o, func() { _ = c.Close() }) // the command ends with its client
				fds = nil
			}
		case wire.Exited:
			relayed.close()
			return exitCode(syscall.WaitStatus(r.Uint())), nil
		case wire.Failed:
			f := wire.DecodeFailure(r)
			return execFailure(o, &f)
		case proto.Failed:
			var f proto.ExecFailed
			if err := proto.Decode(body, &f); err != nil {
				return fail(err)
			}
			if f.Paused {
				return 0, &Error{Lab: o.Lab, Node: o.Node, Op: "run the command", Err: ErrPaused, Remedy: "let it go on with nsnet resume " + o.Lab + "/" + o.Node}
			}
			if f.Dead {
				return 0, &Error{Lab: o.Lab, Node: o.Node, Err: ErrNotRunning, Remedy: deadNode}
			}
			return 0, &Error{Lab: o.Lab, Node: o.Node, Err: fmt.Errorf("%w: %s", ErrNotRunning, f.Text)}
		}
		closeFDs(fds)
	}
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
