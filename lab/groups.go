package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/topology"
)

// checkGroups finds what nodes' limits need and this machine has not.
func (b *builder) checkGroups() error {
	h, err := cgroups.Probe()
	if err != nil {
		return &Error{Op: "look at the control groups", Err: err}
	}
	b.cgroups = h
	if err := b.checkBound(); err != nil {
		return err
	}
	told := false
	for i := range b.lab.Nodes {
		n := &b.lab.Nodes[i]
		if n.Limits.None() && !n.Privileged {
			continue
		}
		if !b.limited {
			b.limited, b.unrestricted = true, h.CanRestrictDevices()
		}
		if err := b.cgroups.Check(n.Limits); err != nil {
			return &Error{Node: n.Name, Op: "limits", Err: fmt.Errorf("%w: %w", ErrUnsupported, err)}
		}
		if n.Privileged && b.unrestricted != nil && !told {
			told = true
			b.notes = append(b.notes, fmt.Sprintf("privileged nodes, as %s, reach all devices of the host: %v", n.Name, b.unrestricted))
		}
	}
	return nil
}

// checkBound finds out what the lab may have of memory, and whether it can be held to that: a machine on which it cannot is an error only where the
// file says how much.
func (b *builder) checkBound() error {
	if b.lab.Limits.Memory == topology.AllMemory {
		return nil
	}
	if err := b.cgroups.CanBound(); err != nil {
		return b.withoutBound(err)
	}
	bound, err := b.cgroups.DefaultBound()
	if err != nil {
		return &Error{Op: "decide on the lab's memory", Err: err, Remedy: liftBound}
	}
	if m := b.lab.Limits.Memory; m > 0 {
		bound.Memory = m
	}
	b.bound = &bound
	return nil
}

// liftBound is how a lab does without a group of its own.
const liftBound = `"limits: {memory: max}" at the top of the file has the lab do without`

// withoutBound has a lab do without a bound that the machine cannot hold it to, unless the file says how much it is.
func (b *builder) withoutBound(err error) error {
	if b.lab.Limits.Memory > 0 {
		return &Error{Op: "limits", Err: fmt.Errorf("%w: %w", ErrUnsupported, err)}
	}
	b.bound, b.rec.Bounded, b.rec.Unbounded = nil, false, err.Error()
	return nil
}

// cradle makes the group of the whole lab, and returns where the lab's init is to be born: nil for nowhere in particular.
func (b *builder) cradle() (*cgroups.Cradle, error) {
	if b.bound == nil {
		return nil, nil //nolint:nilnil // see above
	}
	c, err := b.cgroups.MakeLab(b.lab.Name, *b.bound)
	var unsupported *cgroups.Unsupported
	if errors.As(err, &unsupported) {
		return nil, b.withoutBound(err)
	}
	if err != nil {
		return nil, &Error{Op: "create the lab's control group", Err: err, Remedy: liftBound}
	}
	return c, nil
}

// adopt moves the lab's init, of which nothing has come yet, into the lab's group where it could not be born there. A systemd that does not do it is
// told, and no lab fails for it.
func (b *builder) adopt(ctx context.Context, c *cgroups.Cradle) error {
	if b.bound == nil || c != nil {
		return nil
	}
	inTime, done := context.WithTimeout(ctx, adoptTime)
	defer done()
	err := b.cgroups.Adopt(inTime, b.lab.Name, b.init.Pid, *b.bound)
	if err == nil || ctx.Err() != nil {
		return err
	}
	b.notes = append(b.notes, fmt.Sprintf("the memory of the lab is not bounded: %v", err))
	return b.withoutBound(err)
}

// adoptTime bounds what systemd may take to make a scope, without which a lab comes up as well.
const adoptTime = 10 * time.Second

// limits makes the groups of the nodes that need any.
func (b *builder) limits(ctx context.Context) error {
	if !b.limited {
		return nil
	}
	init := b.rec.InitPID
	if b.init != nil {
		init = b.init.Pid
	}
	if err := b.cgroups.Adopt(ctx, b.lab.Name, init, cgroups.Bound{}); err != nil {
		return &Error{Op: "create its control groups", Err: err}
	}
	b.groups = map[string]*cgroups.Group{}
	for i := range b.nodes {
		n := &b.nodes[i]
		g, err := b.group(n)
		if err != nil {
			return &Error{Node: n.Name, Op: "create its control group", Err: err}
		}
		b.groups[n.Name] = g
	}
	return nil
}

// group makes a node's group. One that is the host's root is held to a node's devices, too; others have no
// right to make devices, and nothing in their mounts opens one.
func (b *builder) group(n *topology.Node) (*cgroups.Group, error) {
	g, err := b.cgroups.Create(b.lab.Name, n.Name, n.Limits)
	if err != nil || !n.Privileged || b.unrestricted != nil {
		return g, err
	}
	devices, err := b.cgroups.RestrictDevices(b.lab.Name, n.Name)
	if err != nil {
		return nil, err
	}
	return g.Join(devices), nil
}
