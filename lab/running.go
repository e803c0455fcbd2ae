package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

// running is a lab that lives, and those of its nodes that something is about.
type running struct {
	name  string
	rec   *record
	lab   *topology.Lab
	nodes []runningNode
}

// runningNode is a node that lives.
type runningNode struct {
	index  int // in the lab's nodes
	name   string
	pid    int // of its init, as the caller sees it
	paused bool
	idle   bool // it has no command
}

// deadNode is the remedy for a node that is dead in a lab that lives.
const deadNode = "its init has ended; nsnet up with the lab's file starts it anew"

// whileLocked calls f with a running lab, or one node of it, while no other nsnet changes it.
func whileLocked(ctx context.Context, o PauseOptions, f func(*running) error) error {
	dir, err := lockLab(ctx, o.Lab, false, o.NoWait)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotFound) {
		return &Error{Lab: o.Lab, Err: ErrNotFound, Remedy: "nsnet ps lists the labs there are"}
	}
	if err != nil {
		return err
	}
	defer dir.unlock()
	return whileRunning(o.Lab, o.Node, f)
}

// whileRunning calls f with a running lab, or with one node of it. Of a lab, nodes that are dead
// are left out.
func whileRunning(name, node string, f func(*running) error) error {
	return whileAlive(name, func(rec *record, l *topology.Lab, init int) error {
		states, err := nodeStates(name)
		if err != nil {
			return err
		}
		r := &running{name: name, rec: rec, lab: l}
		found := false
		for i := range l.Nodes {
			n := l.Nodes[i].Name
			if node != "" && n != node {
				continue
			}
			found = true
			s, there := states[n]
			if !there || s.State == StateDead || !childOf(s.PID, init) {
				if node != "" {
					return &Error{Lab: name, Node: n, Err: ErrNotRunning, Remedy: deadNode}
				}
				continue
			}
			r.nodes = append(r.nodes, runningNode{index: i, name: n, pid: s.PID, paused: s.Paused, idle: s.State == StateIdle})
		}
		if node != "" && !found {
			return &Error{Lab: name, Node: node, Err: ErrNotFound, Remedy: "nsnet ps " + name + " lists its nodes"}
		}
		return f(r)
	})
}

// childOf tells whether a process is a child of a lab's init. Of these there are the nodes' inits
// alone, so that a pid that has passed to a stranger is not taken for a node.
func childOf(pid, parent int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b[max(0, strings.LastIndexByte(string(b), ')')):]), " ")
	f := strings.Fields(rest)
	return len(f) > 1 && f[1] == fmt.Sprint(parent)
}

func (r *running) host() (*cgroups.Host, error) {
	h, err := cgroups.Probe()
	if err != nil {
		return nil, &Error{Lab: r.name, Op: "look at the control groups", Err: err}
	}
	return h, nil
}

// ownGroups gives the lab a place for control groups, after writing down that it has some, which can outlive it. The caller holds
// the lab's lock; another lab's down may be about to add sysctls to the record.
func (r *running) ownGroups(ctx context.Context, groups *cgroups.Host) error {
	if err := r.recordGroups(ctx); err != nil {
		return err
	}
	if err := groups.Adopt(ctx, r.name, r.rec.InitPID); err != nil {
		return &Error{Lab: r.name, Op: "create its control groups", Err: err}
	}
	return nil
}

func (r *running) recordGroups(ctx context.Context) error {
	if r.rec.Limits {
		return nil
	}
	host, err := lockHost(ctx)
	if err != nil {
		return &Error{Lab: r.name, Op: "lock the host's record", Err: err}
	}
	defer host.Close()
	now, err := readRecord(dirOf(r.name))
	if err != nil {
		return &Error{Lab: r.name, Op: "read its record", Err: err}
	}
	now.Limits = true
	err = dropIndex(dirOf(r.name))
	if err == nil {
		err = now.write(dirOf(r.name))
	}
	if err == nil {
		err = writeIndex(dirOf(r.name), true, r.lab.Nodes)
	}
	if err != nil {
		return recordError(r.name, "write the record", err)
	}
	r.rec = now
	return nil
}

// tellPaused tells the lab init which nodes are paused, or no longer.
func (r *running) tellPaused(nodes []string, paused bool) error {
	if len(nodes) == 0 {
		return nil
	}
	c, err := dial(r.name)
	if err != nil {
		return err
	}
	defer c.Close()
	err = proto.Send(c, proto.Pause, proto.PauseRequest{Nodes: slices.Clone(nodes), Paused: paused})
	if err == nil {
		var fds []int
		_, _, fds, err = c.Receive()
		closeFDs(fds)
	}
	if err != nil {
		return &Error{Lab: r.name, Op: "tell the lab's init what is paused", Err: err}
	}
	return nil
}

// group is a node as its control groups know it.
func (r *running) group(n runningNode) cgroups.Node { return cgroups.Node{Name: n.name, PID: n.pid} }
