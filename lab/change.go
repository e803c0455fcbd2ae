package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/dns"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/topology"
)

// readyWait bounds the wait for links that a change has made.
const readyWait = 30 * time.Second

// change is an up of a lab that runs already.
type change struct {
	*builder
	seen *observed
	todo *difference

	account *account
	whole   *wiring.Want // what the file wants of the wires, of which seen.want is what is possible

	lost      []*Error // why new nodes could not be made
	unstarted []*Error // why commands could not be started
	replaced  []string // nodes of which nothing is left as it was before
}

// carryOut makes the lab what it is to be. What was done before a failure stays done, and is told: the
// same command finishes the work, as it looks at what there is and not at what was planned.
func (c *change) carryOut(ctx context.Context) error {
	if err := c.listenFirst(); err != nil {
		return c.wrap(ctx, err, "the lab runs on as it is")
	}
	c.account, c.whole = newAccount(c.todo), c.seen.want
	stages := []struct {
		name string
		do   func(context.Context) error
	}{
		{"look at commands", c.rebindFirst},
		{"prepare", c.announce},
		{"remove links", func(context.Context) error { return c.wires().Remove(c.steps()) }},
		{"change nodes", c.restart},
		{"change links", c.rewire},
		{"set sysctls", c.sysctls},
		{"bound the lab", c.newBound},
		{"set limits", c.newLimits},
		{"write files", c.writeInside},
		{"bind files anew", c.rebind},
		{"name namespaces", c.nameNamespaces},
		{"set up the host", c.host},
		{"start commands", c.commands},
		{"finish", c.commit},
	}
	for i, s := range stages {
		c.step(s.name, i+1, len(stages))
		err := context.Cause(ctx)
		if err == nil {
			err = s.do(ctx)
		}
		if err != nil {
			return c.broken(ctx, err)
		}
	}
	if err := c.settle(ctx); err != nil {
		_ = c.noteMade(context.WithoutCancel(ctx))
		return err
	}
	return c.incomplete(nil)
}

// broken notes and tells how far a change has come. Where that cannot be noted, more is done anew than has to be.
func (c *change) broken(ctx context.Context, err error) error {
	_ = c.noteMade(context.WithoutCancel(ctx))
	return c.incomplete(err)
}

// tell is an error of a change with how far that has come.
func (c *change) tell(err error) error {
	err = wireError(err)
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Err: err}
	}
	how := c.account.String() + "; run it again to finish"
	if e.Remedy == "" && refusedValue(e) {
		how = takenValue + "; " + how
	} else if e.Remedy != "" {
		how = e.Remedy + "; " + how
	}
	return &Error{Op: e.Op, Lab: c.rec.Name, Node: e.Node, Object: e.Object, Err: e.Err, Remedy: how}
}

func (c *change) wires() *wiring.Applier {
	return &wiring.Applier{Namespaces: c.seen, HostLeg: c.setLeg, Progress: func(done, total int) { c.step("create links", done, total) }}
}

// steps are those of the wires that can be done.
func (c *change) steps() []wiring.Step {
	steps := wiring.Steps(c.todo.wires)
	if c.seen.want != c.whole {
		return c.seen.want.Possible(steps)
	}
	return steps
}

// restart ends nodes and starts others, of which the lab init is asked.
func (c *change) restart(ctx context.Context) error {
	if err := c.thawRemoved(); err != nil {
		return err
	}
	spec := proto.ChangeSpec{Remove: c.todo.remove, Add: nil, Table: c.todo.table, Close: c.todo.closed, Partly: true}
	var hosts []int
	var err error
	if len(c.todo.add) > 0 {
		if err := c.openMounts(); err != nil {
			return err
		}
		if spec.Kept, err = c.keep(); err != nil {
			return err
		}
		if err := c.mounts.prepared(); err != nil { // before anything is ended for it
			return prepareError(err)
		}
		if spec.Setups, spec.Common, err = c.setupNodes(); err != nil {
			return err
		}
		c.setups, spec.Add = spec.Setups, c.nodes
		hosts = c.mounts.hosts()
	}
	fds := hosts
	if spec.Kept {
		fds = append(fds, int(c.kept.Fd()))
	}
	spec.Keep, spec.OwnHosts = c.staying(), slices.Sorted(maps.Keys(dns.Own(c.lab)))
	if order := nodeNames(c.lab); len(c.seen.had) > 1 || !slices.Equal(order, nodeNames(c.seen.had[0])) {
		spec.Order = order
	}
	if c.conn, err = dial(c.rec.Name); err != nil {
		return err
	}
	if err := proto.Send(c.conn, proto.Change, &spec, fds...); err != nil {
		return &Error{Op: "ask the lab's init", Err: err}
	}
	c.account.begun("- node", "~ node", "- port", "~ policy", "~ exec")
	c.pids = map[string]int{}
	c.listen()
	return c.follow(ctx)
}

// keep prepares what new nodes keep, and tells whether the lab init has to hold the lock of that from now on.
func (c *change) keep() (locked bool, err error) {
	if !slices.ContainsFunc(c.nodes, func(n topology.Node) bool { return n.Writable.Persist }) {
		return false, nil
	}
	if c.rec.Kept || slices.ContainsFunc(c.seen.had, persists) {
		return false, c.prepareKept(c.nodes)
	}
	return true, c.openKept()
}

// staying are the nodes that stay and are to be something else from now on.
func (c *change) staying() []topology.Node {
	fresh := byName(c.nodes)
	var keep []topology.Node
	for i := range c.lab.Nodes {
		if n := &c.lab.Nodes[i]; fresh[n.Name] == nil && !c.seen.same[n.Name] {
			keep = append(keep, *n)
		}
	}
	return keep
}

func nodeNames(l *topology.Lab) []string {
	names := make([]string, len(l.Nodes))
	for i := range l.Nodes {
		names[i] = l.Nodes[i].Name
	}
	return names
}

// follow does for new nodes what only the host's root can.
func (c *change) follow(ctx context.Context) error {
	for {
		var e event
		select {
		case e = <-c.events:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if e.err != nil {
			return c.initDied(e.err)
		}
		var err error
		switch e.kind {
		case proto.Removed:
			c.account.made("- node", "- port")
			for i := range c.todo.add {
				c.replaced = append(c.replaced, "node "+c.todo.add[i].Name)
			}
			c.account.begun("+ node")
			err = c.newGroups(ctx)
		case proto.Node:
			err = c.prepareNode(ctx, e)
		case proto.Progress:
			var p proto.ProgressReport
			if err = proto.Decode(e.body, &p); err == nil {
				c.step(p.Name, p.Done, p.Total)
			}
		case proto.Booted:
			c.account.made("~ policy", "~ exec")
			return c.booted(e.body)
		case proto.Failed:
			if len(c.lost) > 0 { // an older lab init makes all or none, and knows this reason only
				err, c.lost = c.lost[0], nil
				return err
			}
			return initFailure(e.body)
		default:
			closeFDs(e.fds)
		}
		if err != nil {
			return c.cause(ctx, err)
		}
	}
}

// booted takes over how the lab is now, if it has other nodes, or none any more.
func (c *change) booted(body []byte) error {
	if len(c.todo.remove)+len(c.todo.add) == 0 {
		return nil // it is not told of then
	}
	var r proto.BootedReport
	if err := proto.Decode(body, &r); err != nil {
		return err
	}
	st := &r.LabState
	c.seen.state, c.seen.nodes = st, map[string]*proto.NodeState{}
	for i := range st.Nodes {
		if n := &st.Nodes[i]; n.State != StateDead {
			c.seen.nodes[n.Name] = n
		}
	}
	c.goWithout(r.Lost)
	return nil
}

// newGroups removes the control groups of nodes that have ended, with what they have counted, and makes those
// of nodes to start.
func (c *change) newGroups(ctx context.Context) error {
	if c.rec.Limits && len(c.todo.remove) > 0 {
		h, err := cgroups.Probe()
		if err != nil {
			return &Error{Op: "look at the control groups", Err: err}
		}
		for _, n := range c.todo.remove {
			if err := h.RemoveNode(ctx, c.rec.Name, n); err != nil {
				return &Error{Node: n, Op: "remove its control group", Err: err}
			}
		}
	}
	return c.limits(ctx)
}

// rewire changes the wires, and looks again where one change may have had others in its wake: an address
// that goes takes routes along.
func (c *change) rewire(ctx context.Context) error {
	var done []wiring.Step
	if err := c.rewireAll(ctx, &done); err != nil {
		return err
	}
	return c.tellNeighbours(ctx, wiring.Announcements(c.seen.want, done))
}

// rewireAll is rewire, and notes what it has done.
func (c *change) rewireAll(ctx context.Context, done *[]wiring.Step) error {
	const rounds = 4
	want, had := c.seen.want, c.seen.wants
	steps, fresh := c.steps(), byName(c.nodes)
	var err error
	for range rounds {
		if err := c.wires().Create(steps); err != nil {
			return err
		}
		if c.todo.table && c.table == nil { // before new legs come up
			if err := c.makeTable(c.whole, true); err != nil {
				return err
			}
		}
		if steps, err = c.seen.ipv6On(steps, fresh); err != nil {
			return err
		}
		*done = append(*done, steps...)
		if err := c.wires().Configure(steps); err != nil {
			return err
		}
		if err := c.wires().Neighbours(want, slices.ContainsFunc(had, func(w *wiring.Want) bool { return len(wiring.Neighbours(w)) > 0 })); err != nil {
			return err
		}
		apply := c.wires()
		apply.Slow, apply.Waiting = wiring.SlowBridges(c.seen.wires[wiring.Host]), c.waiting
		if err := apply.Ready(ctx, want, steps, readyWait); err != nil {
			return err
		}
		c.late(apply.Late)
		places := wiring.Wake(steps)
		if len(places) == 0 {
			return nil
		}
		again, err := c.seen.focus.ObserveAll(c.seen, places)
		if err != nil {
			return err
		}
		for p, n := range again {
			c.seen.wires[p] = n
		}
		changes, err := wiring.Plan(want, had, c.seen.wires, c.seen.focus)
		if err != nil {
			return err
		}
		if steps = wiring.Within(wiring.Steps(changes), again); len(steps) == 0 {
			return nil
		}
		if err := c.wires().Remove(steps); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return fmt.Errorf("the links change under the change: %s is not done after %d tries", steps[0].String(), rounds)
}

// nameNamespaces names the nodes' network namespaces for ip netns, where that is not so.
func (c *change) nameNamespaces(context.Context) error {
	if !c.todo.names {
		return nil
	}
	c.account.begun("~ name")
	if err := writeNames(c.lab, &c.rec, c.seen.state); err != nil {
		return err
	}
	c.account.made("~ name")
	return nil
}

// host has the host's firewall let the lab's packets pass, or no longer.
func (c *change) host(context.Context) error {
	if err := bridge.Insert(c.todo.rules); err != nil {
		return &Error{Op: "add rules to the host's firewall", Err: err}
	}
	c.account.made("+ rule")
	if err := bridge.ApplySysctls(c.seen.legs); err != nil {
		return &Error{Op: "have the host forward between the lab's bridges", Err: err}
	}
	for i := range c.seen.legs {
		c.account.made("~ sysctl " + c.seen.legs[i].Path)
	}
	c.account.begun("- rule")
	if err := bridge.Remove(c.todo.oldRules); err != nil {
		return &Error{Op: "remove rules from the host's firewall", Err: err}
	}
	c.account.made("- rule")
	return nil
}

// commands starts commands that have ended, and restarts those that are others now.
func (c *change) commands(ctx context.Context) error {
	for _, what := range []struct {
		op    string
		nodes []string
	}{{proto.OpStart, c.todo.start}, {proto.OpRestart, c.todo.again}} {
		if len(what.nodes) == 0 {
			continue
		}
		var reply proto.ControlReply
		req := proto.ControlRequest{Op: what.op, Nodes: what.nodes, Grace: DefaultGrace, ByUp: true}
		if what.op == proto.OpRestart {
			req.Digests = c.todo.digests
		}
		for _, n := range what.nodes {
			c.account.begun("~ command " + n)
		}
		if err := question(ctx, c.rec.Name, what.op, proto.Control, req, &reply, what.nodes); err != nil {
			return err
		}
		for i := range reply.Nodes {
			n := &reply.Nodes[i]
			r := running{name: c.rec.Name}
			if s := c.seen.nodes[n.Node]; s != nil {
				r.nodes = []runningNode{{name: n.Node, pid: s.PID}}
			}
			if err := r.controlled(n, what.op); err != nil {
				return err
			}
			c.account.made("~ command " + n.Node)
		}
	}
	return nil
}

// commit has the lab init take over ports and table and start commands.
func (c *change) commit(ctx context.Context) error {
	for _, p := range c.todo.open {
		if c.isLost(p.node) {
			continue
		}
		if err := c.listenOn(p.node, p.port); err != nil {
			return err
		}
	}
	c.account.begun("+ port", "~ port", "+ nat", "- nat", "~ nat", "+ guard", "- guard", "~ guard")
	var fds []int
	for _, f := range c.ports {
		fds = append(fds, int(f.Fd()))
	}
	fds = append(fds, c.tables()...)
	if err := proto.Send(c.conn, proto.Commit, proto.CommitSpec{Ports: c.published, Retarget: c.todo.retarget, Transit: c.families, Open: c.todo.givenUp, Commands: c.todo.digests}, fds...); err != nil {
		return c.initDied(err)
	}
	for {
		select {
		case e := <-c.events:
			closeFDs(e.fds)
			switch {
			case e.err != nil:
				return c.initDied(e.err)
			case e.kind == proto.Failed:
				return initFailure(e.body)
			case e.kind == proto.Started:
				c.account.made("+ port", "~ port", "+ nat", "- nat", "~ nat", "+ guard", "- guard", "~ guard", "+ node", "~ node")
				return c.refused(e.body)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
