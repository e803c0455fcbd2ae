package lab

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/execute"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

// lookPatience bounds the wait for a node's init to say whether a command could start.
const lookPatience = 10 * time.Second

// lookEarly has nodes that run say whether their new commands could start, before anything is changed: the old ones are stopped for them. Nodes
// where files are bound anew before are asked afterwards, as that may bring the command.
func (c *change) lookEarly(ctx context.Context) error {
	return c.look(ctx, func(name string) bool { return len(c.todo.rebind[name]) == 0 })
}

// lookLate has the other ones say so, before the record tells of their new commands.
func (c *change) lookLate(ctx context.Context) error {
	return c.look(ctx, func(name string) bool { return len(c.todo.rebind[name]) > 0 })
}

func (c *change) look(ctx context.Context, which func(name string) bool) error {
	nodes := byName(c.lab.Nodes)
	for _, name := range c.todo.again {
		if !which(name) {
			continue
		}
		if err := lookIn(ctx, c.lab.Name, nodes[name]); err != nil {
			return err
		}
	}
	return nil
}

// look has nodes whose commands run say whether these could be started again, before any is stopped. What a node's init does not say in
// time says nothing.
func (r *running) look(ctx context.Context) error {
	for _, n := range r.nodes {
		if !n.runs {
			continue
		}
		err := lookIn(ctx, r.name, n.spec)
		var e *Error
		switch {
		case errors.Is(err, unix.ETIMEDOUT):
		case errors.As(err, &e):
			e.Lab = r.name
			return err
		case err != nil:
			return err
		}
	}
	return nil
}

// lookIn has a node that runs say whether the command that it is to have could start.
func lookIn(ctx context.Context, name string, n *topology.Node) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lookPatience, fmt.Errorf("the node's init does not answer: %w", unix.ETIMEDOUT))
	defer cancel()
	conn, err := dial(name)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	err = proto.Send(conn, proto.Exec, proto.ExecRequest{Node: n.Name, Command: lookedAt(n)})
	var k wire.Kind
	var body []byte
	var fds []int
	if err == nil {
		k, body, fds, err = conn.Receive()
		closeFDs(fds)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &Error{Node: n.Name, Op: "look at its command", Err: err}
	}
	return lookAnswer(name, n.Name, k, body)
}

// lookedAt is the command that a node is to have, to be looked at only. What it leaves out would be what the node's command had before.
func lookedAt(n *topology.Node) execute.Command {
	c := execute.Command{Argv: n.Command, Env: container.Environ(n, nil), Workdir: n.Workdir, User: n.User, Streams: wire.Look}
	if c.Workdir == "" {
		c.Workdir = "/"
	}
	if c.User == "" {
		c.User = "0"
	}
	return c
}

// lookAnswer is why a command cannot be started, by what was answered; nil where nothing is known against it.
func lookAnswer(name, node string, k wire.Kind, body []byte) error {
	switch k {
	case wire.Ready:
		return nil
	case wire.Failed:
		f := wire.DecodeFailure(wire.NewReader(body))
		switch errno := syscall.Errno(f.Errno); {
		case errno == unix.EBADF && f.Text == "stdio": // an older nsnet's node has found the command, and would go on to start it
			return nil
		case errno == unix.EPERM: // a look can be refused where the start is not
			return nil
		}
		return failureError(&proto.Failure{Op: "look at its command", Node: node, Command: f.Text, Text: container.Reason(&f), Errno: f.Errno})
	case proto.Failed:
		var r proto.ExecFailed
		if err := proto.Decode(body, &r); err != nil {
			return &Error{Node: node, Op: "look at its command", Err: err}
		}
		if r.Paused {
			return &Error{Node: node, Op: "restart its command", Err: ErrPaused, Remedy: "let it go on with nsnet resume " + name + "/" + node}
		}
		return &Error{Node: node, Op: "look at its command", Err: errors.New(r.Text)}
	}
	return &Error{Node: node, Op: "look at its command", Err: fmt.Errorf("unexpected message %d", k)}
}
