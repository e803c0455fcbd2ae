package labinit

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/rtnl"
)

// unplug makes a node whose init has ended what a machine is that has lost its power. Its network namespace is held open
// for its links: the other end of a cable stays where it is and has no carrier, which it would not if the namespace went.
// But an interface that is up answers and forwards, whether or not a process is left. So each one is set down. Ports of the
// host that lead to the node are closed.
func (l *labInit) unplug(n *node) {
	n.insides.end()
	l.closePorts(n)
	ns, err := n.namespace()
	if err != nil {
		return // it was ended by a change, which takes its links along
	}
	defer ns.Close()
	if err := powerOff(n.name, ns); err != nil {
		l.super.mu.Lock()
		n.stays = err.Error()
		l.super.mu.Unlock()
	}
}

// namespace is a node's network namespace, for the caller to close.
func (n *node) namespace() (*os.File, error) {
	n.mu.Lock() // who ends the node closes it
	defer n.mu.Unlock()
	fd, err := unix.FcntlInt(n.proc.Netns.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "netns"), nil
}

// kill has the kernel end a node's init and all of its processes. Nobody waits for that.
func (n *node) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	_ = unix.PidfdSendSignal(int(n.proc.Pidfd.Fd()), unix.SIGKILL, nil, 0)
}

// powerOff sets all interfaces of a network namespace down, those that the lab has not made, too.
func powerOff(name string, ns *os.File) error {
	if err := failpoint.Hit("set down", "links of "+name); err != nil {
		return err
	}
	c, err := rtnl.Dial(ns)
	if err != nil {
		return err
	}
	defer c.Close()
	links, err := c.Links()
	if err != nil {
		return err
	}
	down := false
	var reqs []rtnl.Request
	for i := range links {
		if links[i].Up() {
			reqs = append(reqs, rtnl.Change{Index: links[i].Index, Up: &down}.Request("set "+links[i].Name+" down"))
		}
	}
	// One of them may go with another.
	return c.DoIgnoring(func(err error) bool { return errors.Is(err, unix.ENODEV) }, reqs...)
}

// closePorts closes the ports that lead to a node which is dead, unless another has come in its place.
func (l *labInit) closePorts(n *node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.nodes, n) {
		return
	}
	for key, p := range l.ports {
		if p.to.Load().Node == n.name {
			_ = p.Close()
			delete(l.ports, key)
		}
	}
}

// unplugDead has nodes that have died while up was at their wires look as they are: up may have brought links up since.
func (l *labInit) unplugDead() {
	for _, n := range l.all() {
		n.mu.Lock()
		dead := n.dead
		n.mu.Unlock()
		if dead {
			l.unplug(n)
		}
	}
}

var errDead = errors.New("its init has ended")
