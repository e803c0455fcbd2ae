package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// oldAttachRuns is how often each of the two attaches, oldExecRuns how often each runs a command.
const (
	oldAttachRuns = 101
	oldExecRuns   = 301
)

// generations are an older nsnet and this one, each with a lab of its own.
type generations struct{ old, now *nsnet }

// measureOld is the part that runs an older nsnet and this one in turn, so that a change of the machine's load meets both: up and
// down of stars, a command in a node, and attach.
func measureOld(ctx context.Context, o options, dir string) (table, error) {
	t := table{
		title: fmt.Sprintf("An older nsnet and this one in turn: medians of %s of up and down, %s of exec, %s of attach", plural(o.runs, "run"), plural(oldExecRuns, "run"), plural(oldAttachRuns, "run")),
		head:  []string{"", "old", "new", "new / old"},
	}
	if o.nsnet == "" || o.old == "" {
		return t, errors.New("needs two nsnets: -nsnet and -old")
	}
	g := generations{&nsnet{o.old, dir, labName() + "-old"}, &nsnet{o.nsnet, dir, labName() + "-new"}}
	row := func(what string, old, now time.Duration) {
		t.rows = append(t.rows, []string{what, millis(old), millis(now), ratio(now, old)})
	}
	for _, n := range o.sizes {
		ups, downs, err := g.stars(ctx, o.runs, n)
		if err != nil {
			return t, err
		}
		row(fmt.Sprintf("up, %d nodes", n), median(ups[0]), median(ups[1]))
		row(fmt.Sprintf("down, %d nodes", n), median(downs[0]), median(downs[1]))
	}
	took, err := g.exec(ctx, o.sizes[0])
	if err != nil {
		return t, err
	}
	row(fmt.Sprintf("exec, %d nodes", o.sizes[0]), took[0], took[1])
	took, err = g.attach(ctx)
	if err != nil {
		return t, err
	}
	row("attach", took[0], took[1])
	return t, nil
}

// stars brings stars up and down. Who is first changes with each round.
func (g generations) stars(ctx context.Context, runs, n int) (ups, downs [2][]time.Duration, err error) {
	both := [2]*nsnet{g.old, g.now}
	for run := range runs {
		for k := range both {
			i := (run + k) % len(both)
			up, err := both[i].up(ctx, n)
			if err != nil {
				return ups, downs, err
			}
			down, err := both[i].down(ctx, n)
			if err != nil {
				return ups, downs, err
			}
			ups[i], downs[i] = append(ups[i], up), append(downs[i], down)
		}
	}
	return ups, downs, nil
}

// exec runs a command in a node of each one's own lab.
func (g generations) exec(ctx context.Context, n int) (took []time.Duration, err error) {
	for _, c := range []*nsnet{g.old, g.now} {
		if _, err := c.up(ctx, n); err != nil {
			return nil, err
		}
		defer func() {
			_, downErr := c.down(context.WithoutCancel(ctx), n)
			err = errors.Join(err, downErr)
		}()
	}
	return inTurn(ctx, oldExecRuns, []contender{{"old", g.old.exec(1, "/bin/true")}, {"new", g.now.exec(1, "/bin/true")}})
}

// attach gives a network namespace an interface on a bridge of the host, and takes it away, which does not count.
func (g generations) attach(ctx context.Context) (took []time.Duration, err error) {
	const bridge, netns = "bench-old", "bench-old"
	undo, err := made(ctx, [][]string{
		{"ip", "link", "add", bridge, "type", "bridge"}, {"ip", "netns", "add", netns}, {"ip", "link", "set", bridge, "up"},
	}, [][]string{{"ip", "link", "del", bridge}, {"ip", "netns", "del", netns}})
	defer func() { err = errors.Join(err, undo()) }()
	if err != nil {
		return nil, err
	}
	target := []string{"--netns", "/run/netns/" + netns, "--ifname", "eth1"}
	var all [2]attacher
	for i, c := range []*nsnet{g.old, g.now} {
		all[i] = attacher{
			name:   c.binary,
			attach: slices.Concat([]string{c.binary, "attach"}, target, []string{"--bridge", bridge, "--ip", "10.99.0.2/24"}),
			detach: slices.Concat([]string{c.binary, "detach"}, target),
		}
	}
	var times [2][]time.Duration
	for run := range oldAttachRuns {
		for k := range all {
			i := (run + k) % len(all)
			d, err := all[i].once(ctx, 0, false)
			if err != nil {
				return nil, err
			}
			times[i] = append(times[i], d)
		}
	}
	return []time.Duration{median(times[0]), median(times[1])}, nil
}

// made runs commands, and returns what takes back what they have made: all of it, whichever has failed.
func made(ctx context.Context, commands, undo [][]string) (func() error, error) {
	var first error
	done := 0
	for _, argv := range commands {
		if _, first = output(ctx, argv...); first != nil {
			break
		}
		done++
	}
	return func() error {
		var errs []error
		for _, argv := range undo[:min(done, len(undo))] {
			_, err := output(context.WithoutCancel(ctx), argv...)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}, first
}
