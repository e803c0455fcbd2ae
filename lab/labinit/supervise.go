package labinit

import (
	"reflect"
	"sync"
	"syscall"
	"time"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/supervise"
	"github.com/nsnet/nsnet/topology"
)

// supervisor has the commands of nodes run as they are wanted: package supervise decides, this carries it out. Nothing of
// it polls, and a node that asks for nothing costs it no goroutine and no timer.
//
// Locks are taken in this order: supervisor.mu, node.mu.
type supervisor struct {
	mu      sync.Mutex // guards what follows and every node's supervised
	nodes   map[string]*node
	await   bool            // some command may wait to be released
	unmade  map[string]bool // nodes that are to be made, and are not yet or could not be
	changed chan struct{}   // closed at the next change
}

// supervised is what the supervisor knows of a node.
type supervised struct {
	unit   *supervise.Unit
	health *supervise.Health
	deps   []supervise.Dependency
	ready  *topology.Ready // the check
	match  *matcher        // of a check of the log, of this run

	told    int           // counts what the init has said of what is left of the command
	run     int           // counts starts, so that an answer about an earlier one is known
	errno   syscall.Errno // why the last start failed
	refused *wire.Failure // why the first one did, nil: it did not
	due     *time.Timer   // at unit.Deadline
	look    *time.Timer   // at health.Due

	killsAtStart uint64 // what the node's memory had cost when the command was last started, see memory
	oom          bool   // its last end was for want of memory

	init     *syscall.WaitStatus // of the node's init, once it was waited for
	unreaped bool                // it was not, in spite of some patience
	stays    string              // why links of a dead node could not be set down
}

// newSupervised is what a node's part of the topology asks for.
func newSupervised(tn *topology.Node) supervised {
	s := supervised{unit: &supervise.Unit{}, health: &supervise.Health{}, ready: tn.Ready}
	if len(tn.Command) > 0 {
		s.unit = supervise.NewUnit(policy(tn.Restart))
		s.unit.Signal = stopSignal(tn)
	}
	if r := tn.Ready; r != nil {
		s.health = supervise.NewHealth(supervise.Probe{
			Interval: milliseconds(r.IntervalMS), StartPeriod: milliseconds(r.StartPeriodMS), Retries: r.Retries, Passive: r.Log != ""})
	}
	for _, d := range tn.DependsOn {
		s.deps = append(s.deps, supervise.Dependency{Node: d.Node, Condition: condition(d.Condition)})
	}
	return s
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func policy(r topology.Restart) supervise.Policy {
	switch r.Mode {
	case topology.RestartAlways:
		return supervise.Policy{Mode: supervise.Always}
	case topology.RestartOnFailure:
		return supervise.Policy{Mode: supervise.OnFailure, Max: r.Max}
	}
	return supervise.Policy{}
}

// stopSignal is what asks a node's command to end.
func stopSignal(tn *topology.Node) syscall.Signal {
	n, err := topology.ParseSignal(tn.StopSignal)
	if err != nil {
		return syscall.SIGTERM // it says none
	}
	return syscall.Signal(n)
}

func condition(c string) supervise.Condition {
	switch c {
	case topology.DependReady:
		return supervise.IsReady
	case topology.DependExited:
		return supervise.HasExited
	}
	return supervise.IsStarted
}

// decided is all that is known of a node to who waits for it. The supervisor's mutex is held.
func (n *node) decided() supervise.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return supervise.Node{Unit: n.unit, Health: n.health, Paused: n.paused}
}

// newSupervisor has no nodes.
func newSupervisor() supervisor {
	return supervisor{nodes: map[string]*node{}, changed: make(chan struct{})}
}

// add takes charge of a node.
func (s *supervisor) add(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[n.name] = n
	delete(s.unmade, n.name)
	s.await = s.await || len(n.deps) > 0
}

// expect notes the nodes that a change is to make. Who depends on one waits for it, also where it cannot be made.
func (s *supervisor) expect(nodes []topology.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unmade = make(map[string]bool, len(nodes))
	for i := range nodes {
		s.unmade[nodes[i].Name] = true
	}
}

// drop leaves a node alone that is taken out of the lab.
func (l *labInit) drop(n *node) {
	l.super.mu.Lock()
	defer l.super.mu.Unlock()
	if l.super.nodes[n.name] == n {
		delete(l.super.nodes, n.name)
	}
	n.unit.Die()
	n.health.End("", false)
	l.act(n, nil)
}

// launch has the commands of fresh nodes started, those that depend on other nodes as soon as these allow, and returns when
// each that does not has started or could not, or gone is closed: an init that does not answer, as one that is stopped or starts a program of
// a file system that hangs, must not keep a lab from being served, or changed, after its up was broken off.
func (l *labInit) launch(nodes []*node, gone <-chan struct{}) {
	s := &l.super
	for _, n := range nodes {
		s.add(n)
		go l.watch(n)
	}
	s.mu.Lock()
	for _, n := range nodes {
		switch {
		case n.unit.Phase == supervise.Idle && n.ready == nil:
		case n.unit.Phase == supervise.Idle:
			now := time.Now()
			n.health.Reset(now)
			n.health.Begin(now)
			l.act(n, nil)
		case len(n.deps) == 0:
			l.act(n, n.unit.Launch())
		}
	}
	l.release()
	s.mu.Unlock()
	s.until(gone, func() bool {
		for _, n := range nodes {
			if n.unit.Phase == supervise.Starting && len(n.deps) == 0 {
				return false
			}
		}
		return true
	})
}

// adapt has a node go on with what the file says of it by now. The command is not touched.
func (l *labInit) adapt(n *node, tn *topology.Node) {
	l.super.mu.Lock()
	defer l.super.mu.Unlock()
	fresh := newSupervised(tn)
	n.unit.Policy, n.unit.Signal, n.deps = policy(tn.Restart), stopSignal(tn), fresh.deps
	l.super.await = l.super.await || len(n.deps) > 0
	var actions []supervise.Action
	if !reflect.DeepEqual(n.ready, tn.Ready) {
		n.ready, n.health, n.match = tn.Ready, fresh.health, nil
		actions = n.decided().Recheck(time.Now())
		if n.health.Goes() {
			n.listen()
		}
	}
	l.act(n, actions)
}

// event tells a node's unit of something, and does what follows of it.
func (l *labInit) event(n *node, tell func(now time.Time) []supervise.Action) {
	l.super.mu.Lock()
	defer l.super.mu.Unlock()
	l.act(n, tell(time.Now()))
}

// act carries out what was decided about a node, and what follows for others. The supervisor's mutex is held.
func (l *labInit) act(n *node, actions []supervise.Action) {
	l.do(n, actions)
	l.release()
}

// do carries out what was decided about a node, sets its timers, and tells who waits that something has changed.
func (l *labInit) do(n *node, actions []supervise.Action) {
	for _, a := range actions {
		switch {
		case a.Start:
			l.start(n)
		case a.Ask:
			var w wire.Writer
			w.Uint(0)
			w.Uint(flag(true))
			n.send(wire.Kill, w.Bytes())
		case a.Signal != 0:
			var w wire.Writer
			w.Uint(uint64(a.Signal))
			w.Uint(flag(a.All))
			n.send(wire.Kill, w.Bytes())
		}
	}
	set(&n.due, n.unit.Deadline, func() {
		l.event(n, func(now time.Time) []supervise.Action { return n.unit.Tick(now) })
	})
	set(&n.look, n.health.Due, func() { l.lookAt(n) })
	l.super.tell()
}

// tell has all who wait look again. The supervisor's mutex is held.
func (s *supervisor) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// start has a node's init start the command.
func (l *labInit) start(n *node) {
	n.run++
	n.errno = 0
	if n.unit.Restarts == 0 {
		n.health.Reset(time.Now())
	}
	n.listen()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.killsAtStart = n.memory.kills()
	cmd := wire.Command{Argv: n.spec.Command, Env: container.Environ(&n.spec, nil), Workdir: n.spec.Workdir, User: n.spec.User}
	var w wire.Writer
	cmd.Encode(&w)
	if !n.dead {
		n.out.put(n.proc.Conn, wire.Start, w.Bytes(), n.logs...)
		n.logs = nil // the init has them from now on, for every further start
	}
}

// listen has a node's init tell of the command's output from now on, if that is what the check looks at.
func (n *node) listen() {
	if n.match = nil; n.ready != nil && n.ready.Log != "" {
		n.match = newMatcher(n.ready.Log)
		n.share(true)
	}
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// share has a node's init tell of the command's output, or no more.
func (n *node) share(on bool) {
	var w wire.Writer
	w.Uint(flag(on))
	n.send(wire.Share, w.Bytes())
}

// send sends a message to a node's init.
func (n *node) send(k wire.Kind, body []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.dead {
		n.out.put(n.proc.Conn, k, body)
	}
}

// set has f called at a time, if there is one, in place of what was set before.
func set(t **time.Timer, at time.Time, f func()) {
	if *t != nil {
		(*t).Stop()
		*t = nil
	}
	if !at.IsZero() {
		*t = time.AfterFunc(time.Until(at), f)
	}
}

// release starts the commands that have waited for what has come now.
func (l *labInit) release() {
	s := &l.super
	if !s.await {
		return
	}
	for again := true; again; {
		again = false
		for _, n := range s.nodes {
			if n.unit.Phase != supervise.Waiting {
				continue
			}
			if v, _ := supervise.Blocked(n.deps, s.decided); v == supervise.Good {
				l.do(n, n.unit.Launch())
				again = true // somebody may wait for just that
			}
		}
	}
}

func (s *supervisor) decided(name string) (supervise.Node, bool) {
	n := s.nodes[name]
	if n == nil && s.unmade[name] {
		return supervise.Node{Unit: &supervise.Unit{Phase: supervise.Unmade}, Health: &supervise.Health{}}, true
	}
	if n == nil {
		return supervise.Node{}, false
	}
	return n.decided(), true
}

// until waits until done says so, and false says that gone was closed before.
func (s *supervisor) until(gone <-chan struct{}, done func() bool) bool {
	for {
		s.mu.Lock()
		ok, changed := done(), s.changed
		s.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-gone:
			return false
		}
	}
}
