package labinit

import (
	"errors"
	"maps"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/supervise"
)

// startCommands starts the commands of fresh nodes, and listens to each of them from then on. It does not wait for them once gone is
// closed. It returns those that could not be started.
func (l *labInit) startCommands(gone <-chan struct{}) (refused []proto.Failure) {
	var fresh []*node
	for _, n := range l.all() {
		n.mu.Lock()
		if n.fresh {
			fresh = append(fresh, n)
		}
		n.fresh = false
		n.mu.Unlock()
	}
	l.launch(fresh, gone)
	l.super.mu.Lock()
	defer l.super.mu.Unlock()
	for _, n := range fresh {
		if f := n.refused; f != nil {
			refused = append(refused, proto.Failure{Node: n.name, Command: f.Text, Errno: f.Errno, Text: container.Reason(f)})
		}
	}
	return refused
}

// watch follows what a node's init reports until it ends.
func (l *labInit) watch(n *node) {
	for {
		k, body, fds, err := n.proc.Conn.Receive()
		closeAll(fds)
		if err != nil {
			n.kill() // one that nobody can talk to is none
			l.died(n)
			return
		}
		if k == wire.Output {
			l.hear(n, body)
			continue
		}
		r := wire.NewReader(body)
		l.event(n, func(now time.Time) []supervise.Action {
			switch k {
			case wire.Started:
				n.unit.Started(now, int(r.Uint()))
				n.health.Begin(now)
			case wire.Exited:
				ws := syscall.WaitStatus(r.Uint())
				n.oom = n.ranOut(ws)
				return n.decided().End(now, ws, "")
			case wire.Failed:
				f := wire.DecodeFailure(r)
				n.oom = false
				n.errno = syscall.Errno(f.Errno)
				ws := syscall.WaitStatus(127 << 8)
				if n.errno != syscall.ENOENT {
					ws = 126 << 8
				}
				if n.run == 1 && n.refused == nil {
					n.refused = &f
				}
				return n.decided().End(now, ws, container.Reason(&f))
			case wire.Left:
				n.told++
				var left []int
				for r.More() {
					left = append(left, int(r.Uint()))
				}
				return n.decided().Remain(left)
			}
			return nil
		})
	}
}

// died notes that a node's init has ended, and has the node look so to others: nothing of it answers or forwards. It may be told
// so more than once.
func (l *labInit) died(n *node) {
	n.mu.Lock()
	n.dead = true
	n.mu.Unlock()
	// Dead first, then without power: who looks in between must not take the links for what is to be mended.
	l.super.mu.Lock()
	n.unit.Die()
	n.health.End("the node's init has ended", false)
	l.act(n, nil)
	l.super.mu.Unlock()
	l.unplug(n)
}

// reaped notes how a node's init has ended. By then all of its processes have.
func (l *labInit) reaped(pid int, ws syscall.WaitStatus) {
	for _, n := range l.all() {
		if n.proc.PID != pid {
			continue
		}
		l.super.mu.Lock()
		known := n.init != nil // of an earlier node whose id was given again
		if !known {
			n.init = &ws
			l.super.tell()
		}
		l.super.mu.Unlock()
		if !known {
			go l.died(n)
		}
	}
}

// statusOf is the state of one node, or of the lab where no name is given.
func (l *labInit) statusOf(name string) proto.LabState {
	if name == "" {
		return l.status()
	}
	n := l.node(name)
	if n == nil {
		return proto.LabState{Nodes: []proto.NodeState{}}
	}
	l.awaitEnds([]*node{n})
	s := l.stateOf(n)
	n.mu.Lock()
	spec := n.spec
	n.mu.Unlock()
	s.Spec = &spec
	return proto.LabState{Nodes: []proto.NodeState{s}}
}

// status is the state of the lab, its nodes in file order.
func (l *labInit) status() proto.LabState {
	st := proto.LabState{Nodes: []proto.NodeState{}, IPv6: l.ipv6, Fabric: int(l.fabric.Fd())}
	nodes := l.all()
	l.awaitEnds(nodes)
	st.Turn, st.Touched, st.Quiet = l.quiet.look(len(nodes))
	for _, n := range nodes {
		st.Nodes = append(st.Nodes, l.stateOf(n))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.ports {
		st.Ports = append(st.Ports, key)
	}
	slices.Sort(st.Ports)
	st.Table, st.Transit = l.table, slices.Sorted(maps.Keys(l.transit))
	for _, f := range l.hosts {
		st.Hosts = append(st.Hosts, int(f.Fd()))
	}
	return st
}

// reapWait bounds the wait for the status of a node's init whose connection has ended: its pid namespace ends first.
const reapWait = 2 * time.Second

// awaitEnds waits until of each node that is dead it is known how its init has ended, once for each.
func (l *labInit) awaitEnds(nodes []*node) {
	unknown := func() (left []*node) {
		for _, n := range nodes {
			if n.unit.Phase == supervise.Dead && n.init == nil && !n.unreaped {
				left = append(left, n)
			}
		}
		return left
	}
	l.super.mu.Lock()
	left := unknown()
	l.super.mu.Unlock()
	if len(left) == 0 {
		return
	}
	late := make(chan struct{})
	defer time.AfterFunc(reapWait, func() { close(late) }).Stop()
	if !l.super.until(late, func() bool { return len(unknown()) == 0 }) {
		l.super.mu.Lock()
		for _, n := range unknown() {
			n.unreaped = true
		}
		l.super.mu.Unlock()
	}
}

// stateOf is the state of one node.
func (l *labInit) stateOf(n *node) proto.NodeState {
	l.super.mu.Lock()
	s := n.seen()
	if n.unit.Phase == supervise.Waiting {
		s.Reason = supervise.WaitText(supervise.Blocked(n.deps, l.super.decided))
	}
	l.super.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	s.Paused = n.paused
	s.Slot, s.PID, s.Netns, s.Digest, s.Command, s.Fresh = n.slot, n.host, int(n.proc.Netns.Fd()), n.setup.Digest, n.setup.Command, n.fresh
	s.Lost = n.lost()
	s.Hosts, s.Made, s.Quiet = n.ownHosts, n.setup.Made, l.quiet.is(n.netnsID)
	return s
}

// lost is the unions whose servers have ended, by their paths. The node's mutex is held.
func (n *node) lost() (paths []string) {
	pipes := n.held[len(n.held)-len(n.served):]
	for i, path := range n.served {
		p := []unix.PollFd{{Fd: int32(pipes[i])}}
		if got, err := unix.Poll(p, 0); err == nil && got == 1 { // nobody writes: it is hung up
			paths = append(paths, path)
		}
	}
	return paths
}

// seen is how a node's command and its check stand.
func (n *node) seen() proto.NodeState {
	u, h := n.unit, n.health
	s := proto.NodeState{Name: n.name, State: u.State(), CommandPID: u.PID, WaitStatus: uint32(u.Status), Ended: u.Ended, Reason: u.Reason,
		Restarts: u.Restarts, Ready: h.State.String(), Output: h.Output}
	if u.Ended {
		s.EndedAt, s.OOMKilled = u.EndedAt.UnixNano(), n.oom
	}
	if at := u.Retry(); !at.IsZero() {
		s.Retry = at.UnixNano()
	}
	if u.Phase == supervise.Exited && !h.Goes() {
		s.Ready = "" // nothing is left that could become so
	}
	if u.Phase == supervise.Dead {
		s.Reason, s.WaitStatus, s.Ended, s.EndedAt, s.OOMKilled = "the node's init has ended", 0, false, 0, false // the command's says nothing any more
		if n.init != nil {
			s.WaitStatus, s.Ended = uint32(*n.init), true
			if n.init.ExitStatus() == container.ExitPoll {
				s.Reason = "the node's init has ended: its limits have been lowered, and it could not go on"
			}
		}
		s.Stays = n.stays
	}
	return s
}

var (
	errPaused = errors.New("the node is paused")
	errUnmade = errors.New("no such node")
)

// pause notes which nodes are frozen, for who waits for them, too. Their inits are neither told nor asked.
func (l *labInit) pause(r *proto.PauseRequest) {
	for _, name := range r.Nodes {
		if n := l.node(name); n != nil {
			n.mu.Lock()
			n.paused = r.Paused
			n.mu.Unlock()
		}
	}
	l.super.mu.Lock()
	defer l.super.mu.Unlock()
	l.release()
	l.super.tell()
}
