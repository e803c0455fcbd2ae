package lab

import (
	"context"
	"errors"
	"fmt"

	"github.com/nsnet/nsnet/cgroups"
)

// PauseOptions say what Pause and Resume are about.
type PauseOptions struct {
	Lab    string
	Node   string // empty: all nodes of the lab
	NoWait bool   // fail with ErrBusy instead of waiting for the lab's lock
}

// PauseResult tells what Pause or Resume did. Nodes that are paused already are paused once more,
// which is no error; dead ones are left out.
type PauseResult struct {
	Name  string   `json:"name"`
	State string   `json:"state"` // of the nodes: "paused" or "running"
	Nodes []string `json:"nodes"`
}

// Pause stops the processes of a node, or of all nodes of a lab, until Resume. Its network stack
// is the kernel's and goes on. Commands are refused to the node from before it is frozen, so that
// none hangs. When a node cannot be frozen, those that were not paused before go on.
func Pause(ctx context.Context, o PauseOptions) (PauseResult, error) {
	res := PauseResult{Name: o.Lab, State: StatePaused, Nodes: []string{}}
	err := whileLocked(ctx, o, func(r *running) error {
		host, err := r.host()
		if err != nil {
			return err
		}
		if err := host.CanFreeze(); err != nil {
			return &Error{Lab: o.Lab, Node: o.Node, Op: "pause", Err: fmt.Errorf("%w: %w", ErrUnsupported, err)}
		}
		var nodes []cgroups.Node
		var fresh []string
		for _, n := range r.nodes {
			nodes = append(nodes, r.group(n))
			res.Nodes = append(res.Nodes, n.name)
			if !n.paused {
				fresh = append(fresh, n.name)
			}
		}
		if err := r.ownGroups(ctx, host); err != nil {
			return err
		}
		if err := r.tellPaused(ctx, res.Nodes, true); err != nil {
			return err
		}
		if err := host.Freeze(ctx, o.Lab, nodes...); err != nil {
			err = &Error{Lab: o.Lab, Node: o.Node, Op: "pause", Err: unsupported(err), Remedy: "it goes on; try again"}
			return errors.Join(err, host.Thaw(o.Lab, fresh...), r.tellPaused(context.WithoutCancel(ctx), fresh, false))
		}
		return nil
	})
	return res, err
}

// Resume lets a node, or all nodes of a lab, go on. One that is not paused is left as it is.
func Resume(ctx context.Context, o PauseOptions) (PauseResult, error) {
	res := PauseResult{Name: o.Lab, State: StateRunning, Nodes: []string{}}
	err := whileLocked(ctx, o, func(r *running) error {
		for _, n := range r.nodes {
			if n.paused {
				res.Nodes = append(res.Nodes, n.name)
			}
		}
		if len(res.Nodes) == 0 {
			return nil
		}
		host, err := r.host()
		if err != nil {
			return err
		}
		if err := host.Thaw(o.Lab, res.Nodes...); err != nil {
			return &Error{Lab: o.Lab, Node: o.Node, Op: "resume", Err: err}
		}
		return r.tellPaused(ctx, res.Nodes, false)
	})
	return res, err
}

// unsupported marks an error of the control groups that says what the kernel lacks.
func unsupported(err error) error {
	var u *cgroups.Unsupported
	if errors.As(err, &u) {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return err
}
