package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/conn"
	"github.com/nsnet/nsnet/internal/waiting"
	"github.com/nsnet/nsnet/lab/execute"
	"github.com/nsnet/nsnet/lab/index"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/stall"
	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/topology"
)

// dial connects to a lab's init.
func dial(name string) (*container.Conn, error) {
	c, err := conn.Dial(filepath.Join(dirOf(name), controlFile))
	if err != nil {
		switch {
		case errors.Is(err, unix.ECONNREFUSED):
			return nil, &Error{Lab: name, Err: fmt.Errorf("%w: it is dead, its init has ended", ErrNotRunning), Remedy: "bring it up again with nsnet up"}
		case errors.Is(err, fs.ErrNotExist):
			return nil, &Error{Lab: name, Err: ErrNotRunning, Remedy: "bring it up with nsnet up"}
		case errors.Is(err, unix.EAGAIN): // so many wait there already
			return nil, notAnswering(name)
		}
		return nil, &Error{Lab: name, Op: "connect", Err: err}
	}
	return c, nil
}

// nodeStates asks a lab's init for its nodes, by their names.
func nodeStates(ctx context.Context, name string) (map[string]*proto.NodeState, error) {
	st, err := labState(ctx, name)
	if err != nil {
		return nil, err
	}
	return statesByName(st), nil
}

func statesByName(st *proto.LabState) map[string]*proto.NodeState {
	m := make(map[string]*proto.NodeState, len(st.Nodes))
	for i := range st.Nodes {
		m[st.Nodes[i].Name] = &st.Nodes[i]
	}
	return m
}

// labState asks a lab's init how the lab is.
func labState(ctx context.Context, name string) (*proto.LabState, error) {
	return askState(ctx, name, proto.StatusRequest{})
}

// settledState is labState once the init is done with what a killed up had asked it for. It is for who has the lab's lock.
func settledState(ctx context.Context, name string) (*proto.LabState, error) {
	return askState(ctx, name, proto.StatusRequest{Settled: true})
}

// How long a lab's init may take to answer one who only looks, who has others to look at: one that was stopped will not, and one that was not
// answers within some milliseconds, if the machine is not overloaded.
const (
	stoppedPatience = time.Second
	answerPatience  = 10 * time.Second
)

// whileAnswering returns a context in which a lab's init is asked by who only looks. When it ends before, its cause is
// ErrNotAnswering.
func whileAnswering(ctx context.Context, name string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stopped := time.AfterFunc(stoppedPatience, func() {
		if waiting.Stopped(stall.PID(name)) {
			cancel(notAnswering(name))
		}
	})
	late := time.AfterFunc(answerPatience, func() { cancel(notAnswering(name)) })
	return ctx, func() {
		stopped.Stop()
		late.Stop()
		cancel(nil)
	}
}

// notAnswering is the error of a lab whose init does not answer, with why.
func notAnswering(name string) error {
	return &Error{Lab: name, Err: fmt.Errorf("%w: it is %s", ErrNotAnswering, waiting.Process(initPID(dirOf(name)))), Remedy: "nsnet down " + name + " ends the lab all the same"}
}

func askState(ctx context.Context, name string, r proto.StatusRequest) (*proto.LabState, error) {
	c, err := dial(name)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	defer waiting.Say(ctx, func() string { return stall.Init(name) })()
	wrap := func(err error) error {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if errors.Is(err, ErrNotAnswering) {
			return err
		}
		return &Error{Lab: name, Op: "ask for its state", Err: err}
	}
	if err := proto.Send(c, proto.Status, r); err != nil {
		return nil, wrap(err)
	}
	s := &proto.LabState{}
	err = receiveReply(c, wrap, s)
	markKilled(s)
	return s, err
}

// hasGone tells whether an error of nodeStates means that there is no lab init any more.
func hasGone(err error) bool {
	return errors.Is(err, ErrNotRunning) || errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// Inspect tells all of one lab. A lab whose init is gone is StateDead, one whose init does not answer within some seconds is
// StateNotAnswering, and so are its nodes.
func Inspect(ctx context.Context, name string) (*Status, error) {
	if err := needRoot(); err != nil {
		return nil, err
	}
	if !validName(name) {
		return nil, &Error{Lab: name, Err: ErrNotFound}
	}
	dir := dirOf(name)
	r, err := readRecord(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, noLab(name)
		}
		return nil, &Error{Lab: name, Op: "read its record", Err: err}
	}
	r.InitPID = initPID(dir)
	l, err := readLab(dir)
	if errors.Is(err, fs.ErrNotExist) { // a down is at it
		return nil, noLab(name)
	}
	if err != nil {
		return nil, &Error{Lab: name, Op: "read its record", Err: err}
	}
	st := &Status{Name: name, State: StateRunning, File: r.File, Created: r.Created, InitPID: r.InitPID, Links: l.Links}
	var states map[string]*proto.NodeState
	var ports []string
	live := alive(dir)
	switch {
	case live && !r.Built:
		st.State, st.Reason = "building", "nsnet up is at work, or was killed"
	case live:
		var done func()
		ctx, done = whileAnswering(ctx, name)
		defer done()
		var now *proto.LabState
		if now, err = labState(ctx, name); err == nil {
			states, ports = statesByName(now), now.Ports
		}
		switch {
		case errors.Is(err, ErrNotAnswering):
			st.State, st.Reason = StateNotAnswering, err.Error()
		case err != nil && !hasGone(err):
			return nil, err
		case err != nil:
			live = false
		}
	}
	if !live {
		st.State, st.InitPID = StateDead, 0
		st.Reason = "its init has ended; the end of any nsnet command removes what it left"
	}
	need := r.routing(l)
	for i := range l.Bridges {
		b := BridgeStatus{Bridge: l.Bridges[i]}
		b.Routed = slices.Contains(need.between, b.Name)
		if !b.External && len(b.Addresses) > 0 {
			b.Leg = bridge.LegName(name, b.Name)
		}
		st.Bridges = append(st.Bridges, b)
	}
	var host *cgroups.Host
	if r.Limits || r.Bounded {
		if host, err = cgroups.Probe(); err != nil {
			return nil, &Error{Lab: name, Op: "look at the control groups", Err: err}
		}
		if st.Memory, err = host.LabMemory(name); err != nil {
			return nil, &Error{Lab: name, Op: "look at its memory", Err: err}
		}
	}
	st.Unbounded = r.Unbounded
	ifaces := interfaces(l)
	for i := range l.Nodes {
		n := nodeStatus(r, &l.Nodes[i], states[l.Nodes[i].Name])
		switch {
		case st.State == StateNotAnswering:
			n.State = StateNotAnswering
		case live && states[n.Name] == nil:
			n.State = StateNotMade
		}
		for _, p := range l.Nodes[i].Ports {
			if key := portKey(p); slices.Contains(ports, key) {
				n.Published = append(n.Published, key)
			}
		}
		n.Interfaces = ifaces[n.Name]
		if n.State != StateNotMade {
			n.Storage = storageOf(&l.Nodes[i], states[l.Nodes[i].Name])
		}
		if host != nil {
			if o, err := oomOf(host, name, n.Name); err == nil && o.Kills > 0 {
				n.charge(o)
			}
		}
		st.blame(&n)
		st.Nodes = append(st.Nodes, n)
	}
	if live && r.Built && st.State != StateNotAnswering {
		return st, st.observe(ctx, r, l)
	}
	return st, nil
}

// blame says of a node that has lost its command or its init to SIGKILL, and none at a limit of its own, that its lab has been out of memory.
func (st *Status) blame(n *NodeStatus) {
	killed := n.Signal == "SIGKILL" || n.LastEnd != nil && n.LastEnd.Signal == "SIGKILL"
	if st.Memory == nil || st.Memory.Kills == 0 || n.OOMKills > 0 || !killed {
		return
	}
	if n.Reason != "" {
		n.Reason += "; "
	}
	n.Reason += labOOMText(st.Memory)
}

// observe looks at a running lab: how it differs from what it was told to be, and what its nodes have
// beside that. A lab that is being changed meanwhile, or ends, is left out.
func (st *Status) observe(ctx context.Context, r *record, l *topology.Lab) error {
	if busy(dirOf(r.Name)) {
		return nil
	}
	given, gone := goneFrom(l)
	st.Notes = downBridges(l)
	state, err := labState(ctx, r.Name)
	var seen *observed
	if err == nil {
		seen, err = observe(ctx, r, state, given)
	}
	if err == nil {
		d := compare(given, seen)
		d.sayGone(gone)
		st.Drift = d.actions
		mtus := seen.want.MTUs()
		for i := range st.Bridges {
			if mtu, own := mtus[st.Bridges[i].Name]; own {
				st.Bridges[i].MTU = mtu
			}
		}
		err = seen.addLearned(st.Nodes)
	}
	if err != nil {
		if !alive(dirOf(r.Name)) || errors.Is(err, ErrNotAnswering) || busy(dirOf(r.Name)) {
			return nil //nolint:nilerr // it changed while it was looked at
		}
	}
	return err
}

// nodeStatus puts together what is written and what the lab init says of a node: nothing, if w is nil.
func nodeStatus(r *record, n *topology.Node, w *proto.NodeState) NodeStatus {
	s := NodeStatus{Name: n.Name, State: StateDead, Hostname: n.Hostname, Image: n.Image.String(), Command: n.Command,
		Netns: filepath.Join(NetnsDir, r.Name+"."+n.Name), Limits: n.Limits, Spec: *n}
	if w == nil {
		return s
	}
	if !n.Privileged {
		s.UIDBase = r.ids().of(w.Slot)
	}
	s.State, s.CommandPID, s.Reason = w.State, w.CommandPID, w.Reason
	if s.State != StateDead {
		s.PID = w.PID
	}
	s.Ready, s.CheckSaid, s.Restarts = w.Ready, w.Output, w.Restarts
	if w.Retry != 0 {
		at := time.Unix(0, w.Retry)
		s.NextTry = &at
	}
	if w.EndedAt != 0 && s.State != StateDead {
		ws := syscall.WaitStatus(w.WaitStatus)
		s.LastEnd = &LastEnd{At: time.Unix(0, w.EndedAt), ExitCode: execute.ExitCode(ws), OOMKilled: w.OOMKilled}
		if ws.Signaled() {
			s.LastEnd.Signal = unix.SignalName(ws.Signal())
		}
	}
	switch s.State {
	case StateExited, StateStopped, StateRestarting, StateDead:
		if w.Ended || s.State == StateExited {
			s.ended(syscall.WaitStatus(w.WaitStatus))
		}
		if w.Stays != "" {
			s.Reason += "; its links are still up: " + w.Stays
		}
	}
	if w.Paused && s.State != StateDead {
		s.State = StatePaused
	}
	return s
}

// ended says how a command, or a dead node's init, has ended.
func (s *NodeStatus) ended(ws syscall.WaitStatus) {
	code := execute.ExitCode(ws)
	s.ExitCode = &code
	if ws.Signaled() {
		s.Signal = unix.SignalName(ws.Signal())
	}
	if s.State == StateDead && ws.Signaled() {
		s.Reason = fmt.Sprintf("the node's init was killed by signal %d", int(ws.Signal()))
	}
}

// interfaces lists every node's, in the order of the links.
func interfaces(l *topology.Lab) map[string][]InterfaceStatus {
	m := make(map[string][]InterfaceStatus, len(l.Nodes))
	ports := wiring.Ports(l)
	add := func(e, other *topology.Endpoint, port wiring.Port) {
		s := InterfaceStatus{Port: port.Name, PortAlt: port.Alt, Name: e.Interface, MAC: e.MAC, MTU: e.MTU, Peer: other.Bridge, Addresses: []string{}}
		if s.Peer == "" {
			s.Peer = other.Node + ":" + other.Interface
		}
		for _, a := range e.Addresses {
			s.Addresses = append(s.Addresses, a.String())
		}
		m[e.Node] = append(m[e.Node], s)
	}
	for i := range l.Links {
		k := &l.Links[i]
		add(&k.A, &k.B, ports[i])
		if k.B.Node != "" {
			add(&k.B, &k.A, ports[i])
		}
	}
	return m
}

// size writes bytes as people do.
func size(n int64) string {
	for _, u := range []struct {
		name  string
		shift uint
	}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if n >= 1<<u.shift && n%(1<<u.shift) == 0 {
			return fmt.Sprintf("%d %s", n>>u.shift, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// Find turns "LAB/NODE", or "NODE" where one running lab has it, into both names.
func Find(_ context.Context, ref string) (labName, node string, err error) {
	if err := needRoot(); err != nil {
		return "", "", err
	}
	if l, n, ok := index.Find(ref); ok {
		return l, n, nil
	}
	if l, n, ok := strings.Cut(ref, "/"); ok {
		if !validName(l) {
			return "", "", noLab(l)
		}
		has, err := recordHas(dirOf(l), n)
		if errors.Is(err, fs.ErrNotExist) {
			return "", "", noLab(l)
		}
		if err != nil {
			return "", "", &Error{Lab: l, Op: "read its record", Err: err}
		}
		if !has {
			return "", "", &Error{Lab: l, Node: n, Err: ErrNotFound, Remedy: "nsnet ps " + l + " lists the nodes there are"}
		}
		return l, n, nil
	}
	names, err := Names()
	if err != nil {
		return "", "", err
	}
	var in []string
	for _, l := range names {
		if !alive(dirOf(l)) {
			continue
		}
		if has, err := recordHas(dirOf(l), ref); err == nil && has {
			in = append(in, l)
		}
	}
	switch len(in) {
	case 0:
		return "", "", &Error{Node: ref, Err: ErrNotFound, Remedy: "nsnet ps lists the nodes of all labs"}
	case 1:
		return in[0], ref, nil
	}
	return "", "", &Error{Node: ref, Err: fmt.Errorf("%w: labs %s each have one", ErrNotFound, strings.Join(in, ", ")), Remedy: "say which, as " + in[0] + "/" + ref}
}

func hasNode(l *topology.Lab, name string) bool {
	for i := range l.Nodes {
		if l.Nodes[i].Name == name {
			return true
		}
	}
	return false
}
