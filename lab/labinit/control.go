package labinit

import (
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/supervise"
)

// hangUp is closed when the client goes away.
func hangUp(c *container.Conn) <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		_, _, fds, _ := c.Receive()
		closeAll(fds)
		close(gone)
	}()
	return gone
}

// control stops, starts or restarts commands, and returns when that is done. What has been asked for goes on when the
// client goes away.
func (l *labInit) control(r *proto.ControlRequest, gone <-chan struct{}) proto.ControlReply {
	results := map[string]*proto.Controlled{}
	var nodes []*node
	for _, name := range r.Nodes {
		results[name] = &proto.Controlled{Node: name, Failed: "it is not in the lab any more"}
		if n := l.node(name); n != nil {
			results[name].Failed = ""
			nodes = append(nodes, n)
		}
	}
	if r.ByUp && r.Op == proto.OpRestart {
		for _, n := range nodes {
			n.mu.Lock()
			n.setup.Command = "" // until it has started
			n.mu.Unlock()
		}
	}
	if r.Op == proto.OpStop || r.Op == proto.OpRestart && r.Ordered {
		l.stop(nodes, r, results)
	}
	if r.Op != proto.OpStop {
		l.begin(nodes, r, results, gone)
	}
	for _, n := range nodes {
		res := results[n.name]
		if is, given := r.Digests[n.name]; given && res.Failed == "" && len(res.Stuck) == 0 && !closed(gone) {
			n.mu.Lock()
			n.setup.Command = is
			n.mu.Unlock()
		}
	}
	var reply proto.ControlReply
	for _, name := range r.Nodes {
		reply.Nodes = append(reply.Nodes, *results[name])
	}
	return reply
}

// closed reports whether a channel is closed, on which nothing is sent.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// stop stops commands, those that others depend on after these.
func (l *labInit) stop(nodes []*node, r *proto.ControlRequest, results map[string]*proto.Controlled) {
	byName := make(map[string]*node, len(nodes))
	names, deps := make([]string, 0, len(nodes)), map[string][]string{}
	l.super.mu.Lock()
	for _, n := range nodes {
		byName[n.name] = n
		names = append(names, n.name)
		for _, d := range n.deps {
			deps[n.name] = append(deps[n.name], d.Node)
		}
	}
	l.super.mu.Unlock()
	for _, group := range supervise.StopOrder(names, deps) {
		l.super.mu.Lock()
		for _, name := range group {
			n := byName[name]
			results[name].Changed = n.unit.Phase != supervise.Stopped && n.unit.Phase != supervise.Idle && n.unit.Phase != supervise.Dead
			l.act(n, n.unit.Stop(time.Now(), r.Grace))
		}
		l.super.mu.Unlock()
		l.super.until(nil, func() bool {
			for _, name := range group {
				if u := byName[name].unit; u.Phase == supervise.Stopping && !u.Stuck {
					return false
				}
			}
			for _, name := range group {
				results[name].Stuck, results[name].Silent = nil, false
				if u := byName[name].unit; u.Phase == supervise.Stopping {
					results[name].Stuck, results[name].Silent = u.Left, u.Silent()
				}
			}
			return true
		})
	}
}

// begin starts commands, or restarts them, and waits until they run, cannot run, or wait for what does not come by itself.
func (l *labInit) begin(nodes []*node, r *proto.ControlRequest, results map[string]*proto.Controlled, gone <-chan struct{}) {
	l.super.mu.Lock()
	l.super.await = l.super.await || r.Ordered
	var asked []*node
	for _, n := range nodes {
		res := results[n.name]
		if len(res.Stuck) > 0 || res.Silent || n.unit.Phase == supervise.Idle {
			continue
		}
		if n.unit.Phase == supervise.Dead {
			res.Failed = "it is dead"
			continue
		}
		running := n.unit.Phase == supervise.Running || n.unit.Phase == supervise.Starting
		if r.Op == proto.OpRestart && !r.Ordered {
			res.Changed = true
			l.act(n, n.unit.Restart(time.Now(), r.Grace))
		} else {
			res.Changed = res.Changed || !running
			l.act(n, n.unit.Start(time.Now(), r.Ordered))
		}
		asked = append(asked, n)
	}
	l.super.mu.Unlock()
	l.super.until(gone, func() bool {
		for _, n := range asked {
			if !l.settled(n, results[n.name]) {
				return false
			}
		}
		return true
	})
}

// settled tells whether a start has come to something. It is the first try that counts, and not that the node's policy goes on to
// try. The supervisor's mutex is held.
func (l *labInit) settled(n *node, res *proto.Controlled) bool {
	res.Failed, res.Stuck, res.Silent, res.Errno = "", nil, false, 0
	u := n.unit
	if u.Reason != "" && u.Restarting() {
		res.Failed, res.Errno = u.Reason, uint32(n.errno)
		return true
	}
	switch u.Phase {
	case supervise.Starting:
		return false
	case supervise.Stopping:
		if u.Stuck {
			res.Stuck, res.Silent = u.Left, u.Silent()
		}
		return u.Stuck
	case supervise.Waiting:
		v, why := supervise.Blocked(n.deps, l.super.decided)
		res.Failed = why
		return v == supervise.Failed
	case supervise.Dead:
		res.Failed = "it is dead"
	case supervise.Exited:
		if u.Reason != "" {
			res.Failed, res.Errno = u.Reason, uint32(n.errno)
		}
	}
	return true
}

// kill signals the commands of nodes, and nothing else of them. Restart policies take their ends for what
// they are. It waits until the nodes' inits have said what is left, for a while.
func (l *labInit) kill(r *proto.KillRequest) proto.KillReply {
	var reply proto.KillReply
	before := map[*node]int{}
	for _, name := range r.Nodes {
		n := l.node(name)
		if n == nil {
			reply.Ended = append(reply.Ended, name)
			continue
		}
		l.super.mu.Lock()
		if n.unit.PID != 0 && n.unit.Phase != supervise.Dead {
			before[n] = n.told
			l.do(n, []supervise.Action{{Signal: syscall.Signal(r.Signal)}})
		} else {
			reply.Ended = append(reply.Ended, name)
		}
		l.super.mu.Unlock()
	}
	late := make(chan struct{})
	t := time.AfterFunc(supervise.KillWait, func() { close(late) })
	defer t.Stop()
	l.super.until(late, func() bool {
		reply.Silent = nil
		for n, told := range before {
			if n.told == told && n.unit.Phase != supervise.Dead {
				reply.Silent = append(reply.Silent, n.name)
			}
		}
		slices.Sort(reply.Silent)
		return len(reply.Silent) == 0
	})
	return reply
}

// await waits until all nodes that are meant are ready, or have ended, or until one of them cannot become so.
func (l *labInit) await(r *proto.AwaitRequest, gone <-chan struct{}) proto.AwaitReply {
	var late <-chan time.Time
	if r.Timeout > 0 {
		t := time.NewTimer(r.Timeout)
		defer t.Stop()
		late = t.C
	}
	stop := make(chan struct{})
	over := make(chan bool, 1)
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-late:
			over <- true
		case <-gone:
		case <-done:
		}
		close(stop)
	}()
	nodes := l.all()
	if len(r.Nodes) > 0 {
		nodes = slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return !slices.Contains(r.Nodes, n.name) })
	}
	if !r.Ended {
		l.doubt()
	}
	decided := func(name string) (supervise.Node, bool) {
		d, ok := l.super.decided(name)
		d.Patient = r.Timeout > 0
		return d, ok
	}
	var reply proto.AwaitReply
	l.super.until(stop, func() bool {
		reply.Unready = nil
		failed := false
		for _, n := range nodes {
			u, ok := n.unready(r.Timeout > 0)
			if r.Ended {
				u, ok = n.unended()
			}
			if ok {
				continue
			}
			if n.unit.Phase == supervise.Waiting {
				if v, why := supervise.Blocked(n.deps, decided); v != supervise.Good {
					u.Why, u.Failed = "it waits for "+why, v == supervise.Failed
				}
			}
			if u.Failed && !failed {
				failed = true
				reply.Unready = append([]proto.Unready{u}, reply.Unready...)
				continue
			}
			reply.Unready = append(reply.Unready, u)
		}
		for _, name := range slices.Sorted(maps.Keys(l.super.unmade)) {
			if len(r.Nodes) == 0 || slices.Contains(r.Nodes, name) {
				reply.Unready = slices.Insert(reply.Unready, 0, proto.Unready{Node: name, Why: "it is not made", Failed: true})
				failed = true
			}
		}
		return failed || len(reply.Unready) == 0
	})
	select {
	case reply.TimedOut = <-over:
	default:
	}
	return reply
}

// doubt has what is known of unhealthy nodes count for nothing until it is found out again, as what has made them so may have been
// mended by who begins to wait.
func (l *labInit) doubt() {
	l.super.mu.Lock()
	defer l.super.mu.Unlock()
	now := time.Now()
	for _, n := range l.super.nodes {
		if n.health.State == supervise.Unhealthy {
			n.health.Doubt(now)
			l.do(n, nil)
		}
	}
}

// unready tells whether a node is ready, and if not, all that is known about it. Patient is who waits until a time of its own.
func (n *node) unready(patient bool) (proto.Unready, bool) {
	d := n.decided()
	d.Patient = patient
	v, why := d.Readiness()
	return proto.Unready{Node: n.name, Why: why, Failed: v == supervise.Failed, Check: checkText(n.ready), Output: n.health.Output}, v == supervise.Good
}

// unended reports whether a node's command has ended and is not started again, and if not, why.
func (n *node) unended() (proto.Unready, bool) {
	u := proto.Unready{Node: n.name}
	switch n.unit.Phase {
	case supervise.Exited, supervise.Stopped, supervise.Dead:
		return u, true
	case supervise.Idle:
		u.Why, u.Failed = "it has no command that could end", true
	case supervise.Running:
		if u.Why = "its command runs"; n.decided().Paused {
			u.Why = "it is paused"
		}
	default:
		_, u.Why = n.decided().Readiness()
	}
	return u, false
}
