package labinit

import (
	"errors"
	"syscall"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/proto"
)

// startCommands starts the nodes' commands and listens to every node from then on.
func (l *labInit) startCommands() {
	for _, n := range l.nodes {
		started := make(chan struct{}, 1)
		go n.watch(started)
		tn := &l.spec.Lab.Nodes[n.index]
		if len(tn.Command) == 0 {
			continue
		}
		cmd := wire.Command{Argv: tn.Command, Env: container.Environ(tn, nil), Workdir: tn.Workdir, User: tn.User}
		var w wire.Writer
		cmd.Encode(&w)
		n.mu.Lock()
		err := n.proc.Conn.Send(wire.Start, w.Bytes(), n.logs...)
		n.mu.Unlock()
		closeAll(n.logs)
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

// status is the state of every node, in file order.
func (l *labInit) status() []proto.NodeState {
	out := make([]proto.NodeState, 0, len(l.nodes))
	for _, n := range l.nodes {
		n.mu.Lock()
		out = append(out, n.state)
		n.mu.Unlock()
	}
	return out
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
