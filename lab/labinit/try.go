package labinit

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/proto"
)

// triedAtOnce bounds how many nodes are tried at a time.
const triedAtOnce = 4

// try makes nodes that are to take the place of others up to the point where only their links and commands are missing, and ends them. They are
// none of the lab's, and no program of theirs is run: all that they have of the lab is a range of ids.
func (l *labInit) try(s *session, spec *proto.TrySpec) error {
	if len(spec.Setups) != len(spec.Nodes) {
		return &buildError{op: "try nodes", err: fmt.Errorf("%d setups for %d nodes", len(spec.Setups), len(spec.Nodes))}
	}
	go s.listen()
	spawner, err := container.NewSpawner(l.exe)
	if err != nil {
		return &buildError{op: "try nodes", err: err}
	}
	defer spawner.Close()
	spare := -1
	if slots, err := l.free(1); err == nil {
		spare = slots[0]
	}
	errs := make([]error, len(spec.Nodes))
	places := make(chan struct{}, triedAtOnce)
	var wg sync.WaitGroup
	for i := range spec.Nodes {
		places <- struct{}{}
		n := &node{name: spec.Nodes[i].Name, slot: spare, setup: spec.Setups[i], spec: spec.Nodes[i]}
		if n.slot < 0 {
			if old := l.node(n.name); old != nil {
				n.slot = old.slot
			}
			n.slot = max(n.slot, 0)
		}
		if errs[i] = l.spawn(s, spawner, i, n); errs[i] != nil {
			<-places
			continue
		}
		wg.Go(func() {
			defer func() { <-places }()
			defer n.end()
			if errs[i] = l.prepare(s, i, n, &spec.Common); errs[i] == nil {
				errs[i] = n.tryPost()
			}
		})
	}
	wg.Wait()
	var report proto.TriedReport
	for _, err := range errs {
		if err != nil {
			report.Failed = append(report.Failed, failure(err))
		}
	}
	return s.send(proto.Tried, report)
}

// tryPost finds sysctls of interfaces whose values the kernel refuses.
func (n *node) tryPost() error {
	for _, step := range container.TryPost(&n.spec) {
		err := n.proc.Run(wire.Post, []wire.Step{step})
		if of := (*container.StepError)(nil); errors.As(err, &of) {
			of.Text = "" // the default's name
		}
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ERANGE) || errors.Is(err, unix.EDOM) { // else the default is another thing than an interface's
			return &buildError{op: "configure", node: n.name, err: err}
		}
	}
	return nil
}
