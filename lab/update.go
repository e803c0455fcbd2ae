package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/topology"
)

// UpdateOptions say which limits a running node gets.
type UpdateOptions struct {
	Lab, Node string
	Set       topology.Limits // those that are not zero
	Lift      []string        // keys of limits to take back
	NoWait    bool            // fail with ErrBusy instead of waiting for the lab's lock

	noSwap bool // the limit of memory and swap together is taken back
}

// UpdateResult is what the node is limited to now.
type UpdateResult struct {
	Name   string          `json:"name"`
	Node   string          `json:"node"`
	Limits topology.Limits `json:"limits"`
}

// Update changes the limits of a running node. They are the node's until the lab's next up, which
// gives it those of the file again, or down.
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
		limits, err := limitsOf(dirOf(o.Lab), n.spec)
		if err != nil {
			return &Error{Lab: o.Lab, Node: o.Node, Op: "read its limits", Err: err}
		}
		if err := o.merge(limits); err != nil {
			return &Error{Lab: o.Lab, Node: o.Node, Op: "update its limits", Err: err}
		}
		if why := tooManyProcesses(&o.Set, &n.made); len(why) > 0 {
			return &Error{Lab: o.Lab, Node: o.Node, Op: "update its limits", Err: fmt.Errorf("%w: %s", ErrConflict, why[0]),
				Remedy: "give the node limits with more pids, or pids: max, in the lab's file, with which nsnet up starts it anew"}
		}
		if err := host.Check(o.Set); err != nil {
			return &Error{Lab: o.Lab, Node: o.Node, Op: "limits", Err: fmt.Errorf("%w: %w", ErrUnsupported, err)}
		}
		if err := r.ownGroups(ctx, host); err != nil {
			return err
		}
		err = setLimits(ctx, host, o.Lab, r.group(n), o.Set, o.Lift)
		if err != nil {
			return &Error{Lab: o.Lab, Node: o.Node, Op: "update its limits", Err: unsupported(err), Remedy: updateRemedy(o.Set.Memory, err)}
		}
		apply(&limits, &o)
		res.Limits = limits
		if err := writeLimits(dirOf(o.Lab), o.Node, limits); err != nil {
			return errors.Join(errors.New("the limits are set"), recordError(o.Lab, "write the record", err))
		}
		return nil
	})
	return res, err
}

// updateRemedy is what can be done about limits that the kernel did not take. A limit of memory that is below what is in use after all that may be
// killed was is EBUSY, of which the library for control groups of version 1 has the text alone.
func updateRemedy(memory int64, err error) string {
	if memory > 0 && (errors.Is(err, unix.EBUSY) || strings.Contains(err.Error(), "unable to set memory limit")) {
		return "what is left in the node takes more, as files in its tmpfs do: remove some, or give it more memory"
	}
	return "some may be set; run the command again"
}

// merge fills in what an update does not say but a limit depends on, and refuses what cannot hold together
// with the limits there are.
func (o *UpdateOptions) merge(now topology.Limits) error {
	if i := slices.Index(o.Lift, "memory_swap"); i >= 0 {
		// Without, there is as much of both together as of memory.
		o.Lift = slices.Delete(slices.Clone(o.Lift), i, i+1)
		now.MemorySwap = 0
		if o.Set.Memory == 0 && !slices.Contains(o.Lift, "memory") {
			o.Set.Memory = now.Memory
		}
		o.noSwap = true
	}
	switch {
	case o.Set.Memory > 0 && o.Set.MemorySwap == 0:
		o.Set.MemorySwap = now.MemorySwap
	case o.Set.MemorySwap > 0 && o.Set.Memory == 0 && !slices.Contains(o.Lift, "memory"):
		o.Set.Memory = now.Memory
	}
	if o.Set.Pids == topology.AllPids && !slices.Contains(o.Lift, "pids") {
		o.Lift = append(slices.Clone(o.Lift), "pids") // its control group's, if it has one
	}
	apply(&now, o)
	return now.Conflict()
}

// apply makes l what it is after an update.
func apply(l *topology.Limits, o *UpdateOptions) {
	for _, key := range o.Lift {
		switch key {
		case "cpu":
			l.CPU = 0
		case "cpu_weight":
			l.CPUWeight = 0
		case "cpuset":
			l.CPUSet = ""
		case "memory":
			l.Memory, l.MemorySwap = 0, 0
		case "memory_reservation":
			l.MemoryReservation = 0
		case "pids":
			l.Pids = 0
		case "io":
			l.IO = nil
		case "hugetlb":
			l.HugeTLB = nil
		}
	}
	if o.noSwap {
		l.MemorySwap = 0
	}
	s := &o.Set
	l.CPU, l.CPUWeight, l.CPUSet = cmp.Or(s.CPU, l.CPU), cmp.Or(s.CPUWeight, l.CPUWeight), cmp.Or(s.CPUSet, l.CPUSet)
	l.Memory, l.MemorySwap = cmp.Or(s.Memory, l.Memory), cmp.Or(s.MemorySwap, l.MemorySwap)
	l.MemoryReservation, l.Pids = cmp.Or(s.MemoryReservation, l.MemoryReservation), cmp.Or(s.Pids, l.Pids)
	for _, io := range s.IO {
		i := slices.IndexFunc(l.IO, func(have topology.IOLimit) bool { return have.Device == io.Device })
		if i < 0 {
			l.IO = append(slices.Clone(l.IO), io)
			continue
		}
		l.IO = slices.Clone(l.IO)
		have := &l.IO[i]
		have.ReadBPS, have.WriteBPS = cmp.Or(io.ReadBPS, have.ReadBPS), cmp.Or(io.WriteBPS, have.WriteBPS)
		have.ReadIOPS, have.WriteIOPS, have.Weight = cmp.Or(io.ReadIOPS, have.ReadIOPS), cmp.Or(io.WriteIOPS, have.WriteIOPS), cmp.Or(io.Weight, have.Weight)
	}
	if len(s.HugeTLB) > 0 {
		pages := maps.Clone(s.HugeTLB)
		for size, n := range l.HugeTLB {
			if _, set := pages[size]; !set {
				pages[size] = n
			}
		}
		l.HugeTLB = pages
	}
}
