package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/internal/waiting"
	"github.com/nsnet/nsnet/lab/index"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/stall"
	"github.com/nsnet/nsnet/topology"
)

// running is a lab that lives, and those of its nodes that something is about.
type running struct {
	name   string
	init   int  // pid of its init
	limits bool // its nodes have control groups, see record
	nodes  []runningNode
}

// runningNode is a node that lives.
type runningNode struct {
	name   string
	pid    int // of its init, as the caller sees it
	paused bool
	idle   bool           // it has no command
	runs   bool           // its command does
	lost   []string       // unions whose servers have ended
	made   proto.Made     // what it was started with
	spec   *topology.Node // as the last up has it; of its limits see limitsOf
}

// deadNode is the remedy for a node that is dead in a lab that lives.
const deadNode = "its init has ended; nsnet up with the lab's file starts it anew"

// notRunning is the error of a node that is dead, or is not there: its up has failed to make it.
func notRunning(name, node string, there bool) *Error {
	e := &Error{Lab: name, Node: node, Err: ErrNotRunning, Remedy: deadNode}
	if !there {
		e.Err, e.Remedy = fmt.Errorf("%w: it is not made", ErrNotRunning), "nsnet up with the lab's file makes it, or says why not"
	}
	return e
}

// whileLocked calls f with a running lab, or one node of it, while no other nsnet changes it.
func whileLocked(ctx context.Context, o PauseOptions, f func(*running) error) error {
	dir, err := lockLab(ctx, o.Lab, false, o.NoWait)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotFound) {
		return noLab(o.Lab)
	}
	if err != nil {
		return err
	}
	defer dir.unlock()
	return whileRunning(ctx, o.Lab, o.Node, f)
}

// whileRunning calls f with a running lab, or with one node of it. Of a lab, nodes that are dead
// are left out. For one node nothing is read that grows with the lab.
func whileRunning(ctx context.Context, name, node string, f func(*running) error) error {
	return whileBuilt(name, func(init int) error {
		dir := dirOf(name)
		if node != "" {
			if has, err := recordHas(dir, node); err != nil {
				return &Error{Lab: name, Op: "read its record", Err: err}
			} else if !has {
				return &Error{Lab: name, Node: node, Err: ErrNotFound, Remedy: "nsnet ps " + name + " lists its nodes"}
			}
		}
		st, err := askState(ctx, name, proto.StatusRequest{Node: node})
		if err != nil {
			return err
		}
		states := statesByName(st)
		nodes, err := specs(dir, node, states)
		if err != nil {
			return &Error{Lab: name, Op: "read its record", Err: err}
		}
		r := &running{name: name, init: init, limits: hasLimits(dir)}
		for _, spec := range nodes {
			s, there := states[spec.Name]
			if !there || s.State == StateDead || !childOf(s.PID, init) {
				if node != "" {
					return notRunning(name, spec.Name, there)
				}
				continue
			}
			r.nodes = append(r.nodes, runningNode{name: spec.Name, pid: s.PID, paused: s.Paused, idle: s.State == StateIdle, runs: s.CommandPID != 0, lost: s.Lost, made: s.Made, spec: spec})
		}
		return f(r)
	})
}

// specs returns what a lab's nodes are, in the order of the file, or one of them as the lab's init tells it. One of an older
// nsnet does not.
func specs(dir, node string, states map[string]*proto.NodeState) ([]*topology.Node, error) {
	if s := states[node]; s != nil && s.Spec != nil {
		return []*topology.Node{s.Spec}, nil
	}
	l, err := readLab(dir)
	if err != nil {
		return nil, err
	}
	var nodes []*topology.Node
	for i := range l.Nodes {
		if n := &l.Nodes[i]; node == "" || n.Name == node {
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}

// childOf tells whether a process is the init of one of a lab's nodes, so that a pid that has passed to a stranger is not taken for a
// node. They are children of the lab's init, or for a moment after they were started still those of its spawner, which is in
// the same pid namespace as that.
func childOf(pid, init int) bool {
	parent := parentOf(pid)
	if parent <= 0 || parent == init {
		return parent > 0
	}
	spawner, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", parent))
	if err != nil || parentOf(parent) != init {
		return parentOf(pid) == init // the spawner may have ended just now
	}
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", init))
	return err == nil && own == spawner
}

// parentOf is the parent of a process, 0 where there is none. proc_pid_stat(5).
func parentOf(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b[max(0, strings.LastIndexByte(string(b), ')')):]), " ")
	f := strings.Fields(rest)
	if len(f) < 2 {
		return 0
	}
	parent, err := strconv.Atoi(f[1])
	if err != nil {
		return 0
	}
	return parent
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
	if err := groups.Adopt(ctx, r.name, r.init, cgroups.Bound{}); err != nil {
		return &Error{Lab: r.name, Op: "create its control groups", Err: err}
	}
	return nil
}

func (r *running) recordGroups(ctx context.Context) error {
	if r.limits {
		return nil
	}
	host, err := lockHost(ctx)
	if err != nil {
		return &Error{Lab: r.name, Op: "lock the host's record", Err: err}
	}
	defer host.Close()
	dir := dirOf(r.name)
	now, err := readRecord(dir)
	if err != nil {
		return &Error{Lab: r.name, Op: "read its record", Err: err}
	}
	now.Limits = true
	x, known := index.Read(dir)
	err = dropIndex(dir)
	if err == nil {
		err = now.write(dir)
	}
	if x.Limits = true; err == nil && known {
		err = writeIndex(dir, x)
	}
	if err != nil {
		return recordError(r.name, "write the record", err)
	}
	r.limits = true
	return nil
}

// tellPaused tells the lab init which nodes are paused, or no longer.
func (r *running) tellPaused(ctx context.Context, nodes []string, paused bool) error {
	if len(nodes) == 0 {
		return nil
	}
	c, err := dial(r.name)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	defer waiting.Say(ctx, func() string { return stall.Init(r.name) })()
	err = proto.Send(c, proto.Pause, proto.PauseRequest{Nodes: slices.Clone(nodes), Paused: paused})
	if err == nil {
		var fds []int
		_, _, fds, err = c.Receive()
		closeFDs(fds)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &Error{Lab: r.name, Op: "tell the lab's init what is paused", Err: err}
	}
	return nil
}

// group is a node as its control groups know it.
func (r *running) group(n runningNode) cgroups.Node { return cgroups.Node{Name: n.name, PID: n.pid} }
