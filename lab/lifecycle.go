package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/internal/waiting"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/stall"
	"github.com/nsnet/nsnet/lab/supervise"
)

// DefaultGrace is how long the processes of a command have between SIGTERM and SIGKILL.
const DefaultGrace = supervise.DefaultGrace

// CommandOptions say whose commands Stop, Start and Restart are about.
type CommandOptions struct {
	Lab    string
	Node   string        // empty: all nodes of the lab that have a command, in the order of their dependencies
	Grace  time.Duration // of Stop and Restart, between SIGTERM and SIGKILL
	NoWait bool          // fail with ErrBusy instead of waiting for the lab's lock
}

// CommandResult tells what Stop, Start or Restart did.
type CommandResult struct {
	Name  string   `json:"name"`
	State string   `json:"state"` // of the nodes: "stopped" or "running"
	Nodes []string `json:"nodes"` // whose commands were stopped or started, those that were so before left out
}

// Stop ends a node's command and all that it has started, or that of each node of a lab. The node's namespaces, with links, addresses and
// routes of every kind, stay, as do commands that exec has started. It holds until Start, Restart or Up, whatever the node's restart
// policy is. Its error is ErrNoCommandToRun for an idle node and ErrStuck where processes have survived SIGKILL, or the node's init does not answer.
func Stop(ctx context.Context, o CommandOptions) (CommandResult, error) {
	return control(ctx, o, proto.OpStop)
}

// Start starts the command of a node at once, or that of each node of a lab that does not run, as their dependencies allow. It
// returns when they run. Its error is ErrNoCommandToRun for an idle node, ErrNoCommand or ErrNotExecutable where a
// command could not be started.
func Start(ctx context.Context, o CommandOptions) (CommandResult, error) {
	return control(ctx, o, proto.OpStart)
}

// Restart is Stop and then Start. A command that does not run is started. If one that runs could not be started again, as far as that can be
// told, nothing is stopped, and the error is as Start's.
func Restart(ctx context.Context, o CommandOptions) (CommandResult, error) {
	return control(ctx, o, proto.OpRestart)
}

// KillOptions say which signal Kill sends to whose command.
type KillOptions struct {
	Lab    string
	Node   string // empty: all nodes of the lab whose command runs
	Signal syscall.Signal
}

// Kill sends a signal to the first process of a node's command, or to that of each node of a lab, and
// leaves the rest to it: a restart policy starts it again when it ends. The names of those that were
// signalled are returned. Its error is ErrNotRunning where the command of the one node does not run, and ErrStuck where a node's init does not answer.
func Kill(ctx context.Context, o KillOptions) (CommandResult, error) {
	res := CommandResult{Name: o.Lab, State: StateRunning, Nodes: []string{}}
	err := whileRunning(ctx, o.Lab, o.Node, func(r *running) error {
		req := proto.KillRequest{Signal: int(o.Signal)}
		for _, n := range r.nodes {
			if n.paused && o.Node != "" {
				return &Error{Lab: o.Lab, Node: n.name, Op: "kill", Err: ErrPaused, Remedy: "let it go on with nsnet resume " + o.Lab + "/" + n.name}
			}
			if !n.paused {
				req.Nodes = append(req.Nodes, n.name)
			}
		}
		var reply proto.KillReply
		if err := question(ctx, o.Lab, "kill", proto.Kill, req, &reply, req.Nodes); err != nil {
			return err
		}
		if o.Node != "" && len(reply.Ended) > 0 {
			return &Error{Lab: o.Lab, Node: o.Node, Op: "kill", Err: fmt.Errorf("%w: it has no command that runs", ErrNotRunning)}
		}
		for _, name := range req.Nodes {
			if !slices.Contains(reply.Ended, name) && !slices.Contains(reply.Silent, name) {
				res.Nodes = append(res.Nodes, name)
			}
		}
		var errs []error
		for _, name := range reply.Silent {
			errs = append(errs, r.silent(name, "kill"))
		}
		return errors.Join(errs...)
	})
	return res, err
}

func control(ctx context.Context, o CommandOptions, op string) (CommandResult, error) {
	res := CommandResult{Name: o.Lab, State: StateRunning, Nodes: []string{}}
	if op == proto.OpStop {
		res.State = StateStopped
	}
	err := whileLocked(ctx, PauseOptions{Lab: o.Lab, Node: o.Node, NoWait: o.NoWait}, func(r *running) error {
		req := proto.ControlRequest{Op: op, Ordered: o.Node == "", Grace: o.Grace}
		for _, n := range r.nodes {
			switch {
			case n.idle && o.Node != "":
				return &Error{Lab: o.Lab, Node: n.name, Op: op, Err: ErrNoCommandToRun, Remedy: "it is an idle node: give it a command in the file, or run one with nsnet exec"}
			case n.paused && !n.idle:
				return &Error{Lab: o.Lab, Node: n.name, Op: op, Err: ErrPaused, Remedy: "let it go on with nsnet resume " + o.Lab + "/" + n.name}
			case !n.idle:
				req.Nodes = append(req.Nodes, n.name)
			}
		}
		if len(req.Nodes) == 0 {
			return nil
		}
		if op != proto.OpStop {
			if err := r.bindAnew(op); err != nil {
				return err
			}
		}
		if op == proto.OpRestart {
			if err := r.look(ctx); err != nil {
				return err
			}
		}
		var reply proto.ControlReply
		if err := question(ctx, o.Lab, op, proto.Control, req, &reply, req.Nodes); err != nil {
			return err
		}
		var errs []error
		for i := range reply.Nodes {
			n := &reply.Nodes[i]
			if err := r.controlled(n, op); err != nil {
				errs = append(errs, err)
			} else if n.Changed {
				res.Nodes = append(res.Nodes, n.Node)
			}
		}
		return errors.Join(errs...)
	})
	return res, err
}

// controlled is why a node is not as it was asked to be, if it is not.
func (r *running) controlled(n *proto.Controlled, op string) error {
	e := &Error{Lab: r.name, Node: n.Node, Op: op}
	switch {
	case n.Silent:
		return r.silent(n.Node, op)
	case len(n.Stuck) > 0:
		e.Err = fmt.Errorf("%w: %s", ErrStuck, r.describe(n.Node, n.Stuck))
		e.Remedy = "the node is stopped as soon as they end; nsnet down does not wait for them"
	case n.Failed != "":
		e.Err = errors.New(n.Failed)
		switch errno := syscall.Errno(n.Errno); {
		case errno == unix.ELIBACC, errno == unix.E2BIG, errno == unix.EINVAL, errno == unix.ERANGE, errno == unix.ENXIO, errno == unix.ENOTDIR: // see commandFault
			e.Err = fmt.Errorf("%w: %s", ErrNotExecutable, n.Failed)
		case commandError(errno) != nil:
			err := commandError(errno)
			e.Err = fmt.Errorf("%s: %w", strings.TrimSuffix(n.Failed, ": "+errno.Error()), err)
		}
	default:
		return nil
	}
	return e
}

// silent is the error for a node whose init does not answer, so that nobody knows of its processes.
func (r *running) silent(node, op string) error {
	return &Error{Lab: r.name, Node: node, Op: op, Err: fmt.Errorf("%w: its init has not answered", ErrStuck), Remedy: "it may be stopped or starved; nsnet down does not wait for it, and nsnet up starts the lab anew"}
}

// question asks a lab's init for something that takes its time, and gives up when ctx ends. Nodes are those that it is about, none: all; when
// it takes long and one of them cannot answer, that is said.
func question(ctx context.Context, name, op string, k wire.Kind, req, reply any, nodes []string) error {
	c, err := dial(name)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	defer waiting.Say(ctx, func() string { return stall.Stopped(name, nodes...) })()
	wrap := func(err error) error {
		if ctx.Err() != nil {
			return &Error{Lab: name, Op: op, Err: context.Cause(ctx), Remedy: "what was begun goes on"}
		}
		if hasGone(err) {
			return &Error{Lab: name, Op: op, Err: fmt.Errorf("%w: its init has ended", ErrNotRunning)}
		}
		return &Error{Lab: name, Op: op, Err: err}
	}
	if err := proto.Send(c, k, req); err != nil {
		return wrap(err)
	}
	return receiveReply(c, wrap, reply)
}

func receiveReply(c *container.Conn, wrap func(error) error, reply any) error {
	k, body, fds, err := c.Receive()
	closeFDs(fds)
	if err != nil {
		return wrap(err)
	}
	if k == proto.Failed {
		var f proto.ExecFailed
		if err := proto.Decode(body, &f); err != nil {
			return wrap(err)
		}
		return wrap(errors.New(f.Text))
	}
	if k != proto.Reply {
		return wrap(fmt.Errorf("unexpected message %d", k))
	}
	if err := proto.Decode(body, reply); err != nil {
		return wrap(err)
	}
	return nil
}
