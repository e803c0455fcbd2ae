package lab

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/topology"
)

// newBound gives the running lab another bound of memory.
func (c *change) newBound(ctx context.Context) error {
	bound := cgroups.Bound{Memory: cgroups.Unbounded, Swap: cgroups.Unbounded}
	switch {
	case !c.todo.bound:
		return nil
	case c.bound != nil:
		bound = *c.bound
	case !c.rec.Bounded:
		return nil // it has none
	}
	c.account.begun("~ limits " + c.rec.Name)
	if err := c.cgroups.BoundLab(ctx, c.rec.Name, c.rec.InitPID, bound); err != nil {
		return &Error{Op: "change the limits of all nodes together", Err: unsupported(err), Remedy: "end something of what takes memory in the lab"}
	}
	c.account.made("~ limits " + c.rec.Name)
	return nil
}

// newLimits gives running nodes other limits.
func (c *change) newLimits(ctx context.Context) error {
	if len(c.todo.limits) == 0 {
		return nil
	}
	host, err := cgroups.Probe()
	if err != nil {
		return &Error{Op: "look at the control groups", Err: err}
	}
	if err := host.Adopt(ctx, c.rec.Name, c.rec.InitPID, cgroups.Bound{}); err != nil {
		return &Error{Op: "create its control groups", Err: err}
	}
	nodes := byName(c.lab.Nodes)
	for _, name := range c.todo.limits {
		c.account.begun("~ limits " + name)
		n := nodes[name]
		var lift, anew []string
		for _, was := range c.seen.before(name, "limits") {
			lift, anew = both(lift, lifted(was.Limits, n.Limits)), both(anew, shortened(was.Limits, n.Limits))
		}
		o := UpdateOptions{Lab: c.rec.Name, Node: name, Set: n.Limits, Lift: lift}
		if err := o.merge(topology.Limits{}); err != nil {
			return &Error{Node: name, Op: "change its limits", Err: err}
		}
		node := cgroups.Node{Name: name, PID: c.seen.nodes[name].PID}
		if len(anew) > 0 { // what is left of them is set again at once
			if _, err := host.Update(ctx, c.rec.Name, node, topology.Limits{}, anew); err != nil {
				return &Error{Node: name, Op: "change its limits", Err: unsupported(err)}
			}
		}
		if err := setLimits(ctx, host, c.rec.Name, node, o.Set, o.Lift); err != nil {
			return &Error{Node: name, Op: "change its limits", Err: unsupported(err)}
		}
		c.account.made("~ limits " + name)
	}
	return nil
}

// lifted are the keys of limits that there are no more.
func lifted(was, now topology.Limits) []string {
	var keys []string
	x, y := reflect.ValueOf(was), reflect.ValueOf(now)
	for i := range x.NumField() {
		if !x.Field(i).IsZero() && y.Field(i).IsZero() {
			key, _, _ := strings.Cut(x.Type().Field(i).Tag.Get("json"), ",")
			keys = append(keys, key)
		}
	}
	return keys
}

// shortened are the keys of limits that are lists and have lost something, but not all: setting what is left leaves the rest as
// it was.
func shortened(was, now topology.Limits) []string {
	var keys []string
	if len(now.IO) > 0 && slices.ContainsFunc(was.IO, func(had topology.IOLimit) bool {
		i := slices.IndexFunc(now.IO, func(has topology.IOLimit) bool { return has.Device == had.Device })
		return i < 0 || had.ReadBPS > 0 && now.IO[i].ReadBPS == 0 || had.WriteBPS > 0 && now.IO[i].WriteBPS == 0 ||
			had.ReadIOPS > 0 && now.IO[i].ReadIOPS == 0 || had.WriteIOPS > 0 && now.IO[i].WriteIOPS == 0 || had.Weight > 0 && now.IO[i].Weight == 0
	}) {
		keys = append(keys, "io")
	}
	for size := range was.HugeTLB {
		if _, has := now.HugeTLB[size]; !has && len(now.HugeTLB) > 0 {
			return append(keys, "hugetlb")
		}
	}
	return keys
}
