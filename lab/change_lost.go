package lab

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

// A new node that cannot be made, for a mistyped command for example, keeps no other from being made: the change goes on without it and
// its links, tells of it at the end, and is an error.

// prepareNode gives a new node what only the host's root can, or has it left out.
func (c *change) prepareNode(ctx context.Context, e event) error {
	var m proto.NodeIndex
	if err := proto.Decode(e.body, &m); err != nil {
		closeFDs(e.fds)
		return err
	}
	if n := &c.nodes[m.Index]; leavesFiles(n) {
		if err := c.leave(ctx, m.Slot); err != nil {
			closeFDs(e.fds)
			return err
		}
	}
	err := c.node(e)
	var lost *Error
	if !errors.As(err, &lost) {
		return err
	}
	if proto.Send(c.conn, proto.Mounts, proto.NodeIndex{Index: m.Index, Lost: true}) != nil {
		return err // the lab's init has ended
	}
	c.lost = append(c.lost, lost)
	return nil
}

// goWithout has the change go on without nodes that could not be made.
func (c *change) goWithout(failures []proto.Failure) {
	for i := range failures {
		if f := &failures[i]; !c.isLost(f.Node) {
			c.lost = append(c.lost, asError(failureError(f)))
		}
	}
	if len(c.lost) == 0 {
		return
	}
	names := make([]string, len(c.lost))
	for i, e := range c.lost {
		names[i] = e.Node
	}
	c.seen.want = c.whole.Without(names)
	c.account.lose("node", names...)
	for i := len(c.published) - 1; i >= 0; i-- {
		if !c.isLost(c.published[i].Node) {
			continue
		}
		_ = c.ports[i].Close()
		c.account.lose("port", c.published[i].Key)
		c.ports, c.published = slices.Delete(c.ports, i, i+1), slices.Delete(c.published, i, i+1)
	}
	for _, p := range c.todo.open {
		if c.isLost(p.node) {
			c.account.lose("port", portKey(p.port))
		}
	}
}

// isLost reports whether a node could not be made.
func (c *change) isLost(node string) bool {
	return slices.ContainsFunc(c.lost, func(e *Error) bool { return e.Node == node })
}

// possible is the lab without sysctls of interfaces that are not there for want of a node.
func (c *change) possible() *topology.Lab {
	if c.seen.want == c.whole {
		return c.lab
	}
	l := *c.lab
	l.Nodes = slices.Clone(l.Nodes)
	for i := range l.Nodes {
		n := &l.Nodes[i]
		n.Sysctls = maps.Clone(n.Sysctls)
		maps.DeleteFunc(n.Sysctls, func(k, _ string) bool {
			path := strings.Split(container.SysctlPath(k), "/")
			return len(path) == 5 && c.seen.want.Cut(n.Name, path[3])
		})
	}
	return &l
}

// refused notes which commands could not be started.
func (c *change) refused(body []byte) error {
	var r proto.StartedReport
	if err := proto.Decode(body, &r); err != nil {
		return err
	}
	for i := range r.Refused {
		r.Refused[i].Op = opStart
		c.unstarted = append(c.unstarted, asError(failureError(&r.Refused[i])))
	}
	return nil
}

// incomplete is the error of a change that did not make all: why, if it did not come to its end, and what became of single nodes.
func (c *change) incomplete(why error) error {
	var all []error
	for _, e := range slices.Concat(c.lost, c.unstarted) {
		e.Lab = c.rec.Name
		all = append(all, e)
	}
	if why != nil {
		all = append([]error{why}, all...)
	}
	if len(all) == 0 {
		return nil
	}
	if all[0] = c.tell(all[0]); len(all) == 1 {
		return all[0]
	}
	return errors.Join(all...)
}

// asError is an error as one of this package.
func asError(err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Err: err}
	}
	return e
}
