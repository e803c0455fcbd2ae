package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/conn"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/execute"
	"github.com/nsnet/nsnet/topology"
)

// Exec runs a command in a node and returns its exit code: 128+n when signal n killed it,
// 127 when it was not found and 126 when it cannot be executed (with an error that says so). It returns when the command has ended and what
// that has written is passed on, whatever else has its streams still.
//
// On SIGINT, SIGTERM, SIGHUP, SIGQUIT and, as SIGTERM, when ctx ends, the signal is passed on to the command's process group. Exec itself ends with
// it, and returns 128+n, where nothing is to be waited for: of a command on a terminal, of one that has not started or has ended, and where a node does
// not say within two seconds that it has taken the signal. The command is killed then. So is one on a terminal whose output nobody reads any more; the code is
// that of SIGPIPE.
func Exec(ctx context.Context, o ExecOptions) (int, error) { return run(ctx, o, false) }

// run is Exec, of nsnet itself or of a program of the node.
func run(ctx context.Context, o ExecOptions, itself bool) (int, error) {
	code, err := execute.Run(ctx, func() (*conn.Conn, error) { return dial(o.Lab) }, &o, itself)
	return ExecResult(o, code, err)
}

// ExecResult is the result of Exec, by that of execute.Run.
func ExecResult(o ExecOptions, code int, err error) (int, error) {
	var failed *execute.Error
	var missing *execute.NotStarted
	var refused *execute.Refused
	switch {
	case errors.As(err, &failed):
		return 0, &Error{Lab: o.Lab, Node: o.Node, Op: failed.Op, Err: failed.Err}
	case errors.As(err, &missing):
		return execFailure(&o, &missing.Failure)
	case errors.As(err, &refused):
		e := &Error{Lab: o.Lab, Node: o.Node, Err: fmt.Errorf("%w: %s", ErrNotRunning, refused.Text)}
		switch {
		case refused.Dead:
			e = &Error{Lab: e.Lab, Node: e.Node, Err: fmt.Errorf("%w: it is dead", ErrNotRunning), Remedy: deadNode}
		case refused.Unmade:
			e = notRunning(e.Lab, e.Node, false)
		case refused.Paused:
			e = &Error{Lab: e.Lab, Node: e.Node, Op: "run the command", Err: ErrPaused, Remedy: "let it go on with nsnet resume " + e.Lab + "/" + e.Node}
		}
		return 0, e
	}
	return code, err
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
		if commandError(syscall.Errno(f.Errno)) != nil {
			e.Remedy = ""
		}
		return 126, e
	}
	switch {
	case errors.Is(e.Err, unix.EAGAIN):
		e.Remedy, e.Err = fullOfProcesses(o)
	case errors.Is(e.Err, unix.ETOOMANYREFS):
		e.Err = fmt.Errorf("%w: processes of the node have as many descriptors on their way through sockets as they may, none is left for the command's streams, and it was killed", unix.ETOOMANYREFS)
		e.Remedy = "end what sends descriptors that nobody takes: nsnet restart " + o.Lab + "/" + o.Node
	}
	return 0, e
}

// fullOfProcesses says which limit it is that lets a command not be started, and what to do.
func fullOfProcesses(o *ExecOptions) (remedy string, err error) {
	const host = "look at kernel.pid_max, ulimit -u and the pids control groups above nsnet's"
	if l, err := readLab(dirOf(o.Lab)); err == nil {
		switch n := byName(l.Nodes)[o.Node]; {
		case n == nil || n.Privileged || n.Limits.Pids == topology.AllPids: // nothing of its own bounds it
		case n.Limits.Pids > 0:
			return fmt.Sprintf("let some end, or allow more with nsnet update %s/%s --pids NUMBER", o.Lab, o.Node),
				fmt.Errorf("%w: the node has its %d processes and threads, pids in its limits", unix.EAGAIN, n.Limits.Pids)
		default:
			return "let some of the node's end, or give it more pids in its limits; else " + host,
				fmt.Errorf("%w: the node has the processes and threads that it may have without limits, %d at most, or the host all that it can have", unix.EAGAIN, container.Processes)
		}
	}
	return host, fmt.Errorf("%w: the host's limit of processes is reached", unix.EAGAIN)
}

// commandFault is what is wrong with a command that was not found fit to start, by what a node's init says of it; nil where that is not
// the command's own fault.
func commandFault(text string, errno syscall.Errno) *Error {
	if err := commandError(errno); err != nil {
		remedy := "name a program that the node's image has"
		switch errno {
		case unix.EACCES:
			remedy = "make it executable with chmod a+x, or name another program"
		case unix.ENOEXEC:
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
		return &Error{Op: "run the command", Err: fmt.Errorf("%w: %s", ErrNotExecutable, text), Remedy: fmt.Sprintf("give the user an id below %d; only privileged nodes have the host's ids", container.IDs)}
	case unix.ENXIO: // as for ENOTDIR
		return &Error{Op: "run the command", Object: text, Err: fmt.Errorf("%w: this directory does not exist", ErrNotExecutable), Remedy: "make it, or name a working directory that the node has"}
	case unix.ENOTDIR: // the text is "in DIR"
		return &Error{Op: "run the command", Object: text, Err: fmt.Errorf("%w: %w", ErrNotExecutable, errno), Remedy: "name a working directory that the node has"}
	case unix.EINVAL: // the text says which name is in none of the node's files
		return &Error{Op: "run the command", Err: fmt.Errorf("%w: %s", ErrNotExecutable, text), Remedy: "name a user and a group that the node's /etc/passwd and /etc/group have, or numbers"}
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
