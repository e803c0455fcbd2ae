package lab

import (
	"context"
	"fmt"

	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/topology"
)

// checkGroups finds what nodes' limits need and this machine has not.
func (b *builder) checkGroups() error {
	told := false
	for i := range b.lab.Nodes {
		n := &b.lab.Nodes[i]
		if n.Limits.None() && !n.Privileged {
			continue
		}
		if b.cgroups == nil {
			h, err := cgroups.Probe()
			if err != nil {
				return &Error{Op: "look at the control groups", Err: err}
			}
			b.cgroups = h
			b.unrestricted = h.CanRestrictDevices()
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

// limits makes the groups of the nodes that need any.
func (b *builder) limits(ctx context.Context) error {
	if b.cgroups == nil {
		return nil
	}
	init := b.rec.InitPID
	if b.init != nil {
		init = b.init.Pid
	}
	if err := b.cgroups.Adopt(ctx, b.lab.Name, init); err != nil {
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
