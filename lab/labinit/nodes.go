package labinit

import (
	"errors"
	"slices"
	"syscall"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/proto"
)

// startCommands starts the commands of fresh nodes, and listens to each of them from then on.
func (l *labInit) startCommands() {
	for _, n := range l.all() {
		n.mu.Lock()
		fresh := n.fresh
		n.fresh = false
		n.mu.Unlock()
		if !fresh {
			continue
		}
		started := make(chan struct{}, 1)
		go n.watch(started)
		if len(n.spec.Command) == 0 {
			continue
		}
		cmd := wire.Command{Argv: n.spec.Command, Env: container.Environ(&n.spec, nil), Workdir: n.spec.Workdir, User: n.spec.User}
		var w wire.Writer
		cmd.Encode(&w)
		n.mu.Lock()
		err := n.proc.Conn.Send(wire.Start, w.Bytes(), n.logs...)
		closeAll(n.logs)
		n.logs = nil
		n.mu.Unlock()
		if err == nil {
			<-started
		}
	}
}

// watch follows what a node's init reports until it ends. started gets one value when the
// command has started, or could not.
func (n *node) watch(started chan<- struct{}) {
	tell := func() {
		select {
		case started <- struct{}{}:
		default:
		}
	}
	defer tell()
	for {
		k, body, fds, err := n.proc.Conn.Receive()
		closeAll(fds)
		n.mu.Lock()
		if err != nil {
			n.dead = true
			n.state.State, n.state.CommandPID = "dead", 0
			n.state.Reason = "the node's init has ended"
			n.mu.Unlock()
			return
		}
		switch r := wire.NewReader(body); k {
		case wire.Started:
			n.state.State, n.state.CommandPID = "running", int(r.Uint())
		case wire.Exited:
			n.state.State, n.state.CommandPID = "exited", 0
			n.state.WaitStatus = uint32(r.Uint())
		case wire.Failed:
			f := wire.DecodeFailure(r)
			n.state.State = "exited"
			n.state.WaitStatus = 127 << 8
			if syscall.Errno(f.Errno) != syscall.ENOENT {
				n.state.WaitStatus = 126 << 8
			}
			n.state.Reason = f.Text + ": " + syscall.Errno(f.Errno).Error()
		}
		n.mu.Unlock()
		if k == wire.Started || k == wire.Failed {
			tell()
		}
	}
}

// status is the state of the lab, its nodes in file order.
func (l *labInit) status() proto.LabState {
	st := proto.LabState{Nodes: []proto.NodeState{}, IPv6: l.ipv6}
	for _, n := range l.all() {
		n.mu.Lock()
		s := n.state
		s.Slot, s.PID, s.Netns, s.Digest, s.Command, s.Fresh = n.slot, n.host, int(n.proc.Netns.Fd()), n.setup.Digest, n.setup.Command, n.fresh
		n.mu.Unlock()
		st.Nodes = append(st.Nodes, s)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.ports {
		st.Ports = append(st.Ports, key)
	}
	slices.Sort(st.Ports)
	st.Table = l.table != nil
	for _, f := range l.hosts {
		st.Hosts = append(st.Hosts, int(f.Fd()))
	}
	return st
}

var errPaused = errors.New("the node is paused")

// pause notes which nodes are frozen. Their inits are neither told nor asked.
func (l *labInit) pause(r *proto.PauseRequest) {
	for _, name := range r.Nodes {
		if n := l.node(name); n != nil {
			n.mu.Lock()
			n.state.Paused = r.Paused
			n.mu.Unlock()
		}
	}
}
