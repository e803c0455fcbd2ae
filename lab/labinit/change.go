package labinit

import (
	"os"
	"slices"

	"github.com/nsnet/nsnet/internal/announce"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/wiring"
)

// change carries out a change of the running lab, of which up does the wires. Only one is
// under way at a time. What is done when it is broken off stays: nodes that are there and
// whose commands have not been started are fresh, which the next change finds and goes on with.
func (l *labInit) change(s *session, spec *proto.ChangeSpec, hosts []int) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	if spec.Kept && len(hosts) > 0 {
		last := len(hosts) - 1
		l.kept = os.NewFile(uintptr(hosts[last]), "kept") // held for life
		hosts = hosts[:last]
	}
	l.hold(hosts)
	defer l.letGo() // of nodes that did not come up
	go s.listen()
	l.unpublish(spec.Close)
	l.remove(spec.Remove)
	l.super.expect(spec.Add)
	if err := s.send(proto.Removed, struct{}{}); err != nil {
		return err
	}
	own := make(map[string]bool, len(spec.OwnHosts))
	for _, name := range spec.OwnHosts {
		own[name] = true
	}
	for i := range spec.Keep {
		if n := l.node(spec.Keep[i].Name); n != nil {
			n.mu.Lock()
			n.spec = spec.Keep[i]
			n.mu.Unlock()
			l.adapt(n, &spec.Keep[i])
		}
	}
	for _, n := range l.all() {
		if own[n.name] {
			n.mu.Lock()
			n.ownHosts = true
			n.mu.Unlock()
		}
	}
	started, lost, err := l.boot(s, spec.Add, spec.Setups, &spec.Common, spec.Partly)
	if err != nil {
		_ = s.send(proto.Failed, failure(err)) // before what follows from it is seen
		for _, n := range started {
			n.end()
		}
		return err
	}
	l.order(spec.Order)
	l.letGo()
	booted := proto.BootedReport{Lost: lost}
	if len(spec.Remove)+len(spec.Add) > 0 {
		booted.LabState = l.status()
	}
	if err := s.send(proto.Booted, booted); err != nil {
		return err
	}
	c, err := await(s, s.commit)
	if err != nil {
		return err
	}
	refused, err := l.finish(&c, spec.Table, s.ended)
	if err != nil {
		return err
	}
	return s.send(proto.Started, proto.StartedReport{Refused: refused})
}

// finish does what a commitment says: ports, tables, of which the old one is given up where another comes or other is true, commands. For
// these it does not wait once gone is closed. It returns those that could not be started.
func (l *labInit) finish(c *commitment, other bool, gone <-chan struct{}) (refused []proto.Failure, err error) {
	l.retarget(c.spec.Retarget)
	ports, rest := c.fds[:len(c.spec.Ports)], c.fds[len(c.spec.Ports):]
	if err := l.measure(len(ports)); err != nil {
		closeAll(c.fds)
		return nil, &buildError{op: "count descriptors", err: err}
	}
	if err := l.publish(c.spec.Ports, ports); err != nil {
		closeAll(rest)
		return nil, err
	}
	l.takeTables(rest, &c.spec, other)
	for name, digest := range c.spec.Commands {
		if n := l.node(name); n != nil {
			n.mu.Lock()
			n.setup.Command = digest
			n.mu.Unlock()
		}
	}
	l.unplugDead()
	return l.startCommands(gone), nil
}

// announce tells neighbours where the addresses of nodes' interfaces are.
func (l *labInit) announce(all map[string][]announce.Interface) error {
	if len(all) == 0 {
		return nil
	}
	done := announce.NewCloser()
	defer done.End()
	if err := wiring.Announce(l, all, done); err != nil {
		return wireError(err)
	}
	return nil
}

// remove ends nodes. Their wires go with them.
func (l *labInit) remove(names []string) {
	var gone []*node
	l.mu.Lock()
	l.nodes = slices.DeleteFunc(l.nodes, func(n *node) bool {
		is := slices.Contains(names, n.name)
		if is {
			gone = append(gone, n)
		}
		return is
	})
	l.mu.Unlock()
	for _, n := range gone {
		if failpoint.Hit("kill", "node "+n.name) == nil {
			l.drop(n)
			n.end()
		}
	}
}

// order puts the nodes into the order of the file, where that is another one.
func (l *labInit) order(names []string) {
	if len(names) == 0 {
		return
	}
	at := make(map[string]int, len(names))
	for i, name := range names {
		at[name] = i
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.SortStableFunc(l.nodes, func(a, b *node) int { return at[a.name] - at[b.name] })
}

// hold begins a round of nodes, and keeps the files open that are /etc/hosts in them.
func (l *labInit) hold(fds []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.round++
	for _, fd := range fds {
		l.hosts = append(l.hosts, commonHosts{os.NewFile(uintptr(fd), "hosts"), l.round})
	}
}

// letGo lets go of what was held for rounds of which no node is left, and with it of their common layers.
func (l *labInit) letGo() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts = slices.DeleteFunc(l.hosts, func(h commonHosts) bool {
		used := slices.ContainsFunc(l.nodes, func(n *node) bool { return n.round == h.round })
		if !used {
			_ = h.Close()
		}
		return !used
	})
}
