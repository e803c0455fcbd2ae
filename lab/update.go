package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/nsnet/nsnet/topology"
)

// UpdateOptions say which limits a running node gets.
type UpdateOptions struct {
	Lab, Node string
	Set       topology.Limits // those that are not zero
	Lift      []string        // keys of limits to take back
	NoWait    bool            // fail with ErrBusy instead of waiting for the lab's lock
}

// UpdateResult is what the node is limited to now.
type UpdateResult struct {
	Name   string          `json:"name"`
	Node   string          `json:"node"`
	Limits topology.Limits `json:"limits"`
}

// Update changes the limits of a running node. They are the node's until the lab's next down: the
// file, and what Up compares with it, stay as they are.
func Update(ctx context.Context, o UpdateOptions) (UpdateResult, error) {
	res := UpdateResult{Name: o.Lab, Node: o.Node}
	err := whileLocked(ctx, PauseOptions{Lab: o.Lab, Node: o.Node, NoWait: o.NoWait}, func(r *running) error {
		n := r.nodes[0]
		if n.paused {
			return &Error{Lab: o.Lab, Node: o.Node, Op: "update its limits", Err: ErrPaused, Remedy: "let it go on with nsnet resume " + o.Lab + "/" + o.Node}
		}
		host, err := r.host()
		if err != nil {
			return err
		}
		if err := host.Check(o.Set); err != nil {
			return &Error{Lab: o.Lab, Node: o.Node, Op: "limits", Err: fmt.Errorf("%w: %w", ErrUnsupported, err)}
		}
		if err := r.ownGroups(ctx); err != nil {
			return err
		}
		if err := host.Update(ctx, o.Lab, r.group(n), o.Set, o.Lift); err != nil {
			return &Error{Lab: o.Lab, Node: o.Node, Op: "update its limits", Err: unsupported(err), Remedy: "some may be set; run the command again"}
		}
		limits := &r.lab.Nodes[n.index].Limits
		change(limits, &o)
		res.Limits = *limits
		content, err := json.Marshal(r.lab)
		if err == nil {
			dir := dirOf(o.Lab)
			err = renameio.WriteFile(filepath.Join(dir, labFile), content, 0o600, renameio.WithTempDir(dir))
		}
		if err != nil {
			return errors.Join(errors.New("the limits are set"), recordError(o.Lab, "write the record", err))
		}
		return nil
	})
	return res, err
}

// change makes l what it is after an update.
func change(l *topology.Limits, o *UpdateOptions) {
	for _, key := range o.Lift {
		switch key {
		case "cpu":
			l.CPU = 0
		case "cpu_weight":
			l.CPUWeight = 0
		case "memory":
			l.Memory = 0
		case "pids":
			l.Pids = 0
		}
	}
	if o.Set.CPU > 0 {
		l.CPU = o.Set.CPU
	}
	if o.Set.CPUWeight > 0 {
		l.CPUWeight = o.Set.CPUWeight
	}
	if o.Set.Memory > 0 {
		l.Memory = o.Set.Memory
	}
	if o.Set.Pids > 0 {
		l.Pids = o.Set.Pids
	}
}
