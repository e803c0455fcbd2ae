package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/lab"
)

// minInterval is the shortest time over which processor time, counted in hundredths of a second,
// says anything.
const minInterval = 100 * time.Millisecond

type statsOptions struct {
	NoStream   bool
	JSON       bool
	Interval   time.Duration
	Prometheus string
	Sort       string
	Top        int
}

// AddFlags adds the options to f.
func (o *statsOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.NoStream, "no-stream", false, "print once, after one interval, and end")
	f.BoolVar(&o.JSON, "json", false, "print once, after one interval, as JSON")
	f.DurationVar(&o.Interval, "interval", time.Second, "time between two looks, over which CPU is measured")
	f.StringVar(&o.Prometheus, "prometheus", "", "print nothing, write `FILE` anew at each look, for Prometheus's node exporter")
	f.StringVar(&o.Sort, "sort", "", "sort nodes by `KEY`, the largest first: "+strings.Join(slices.Sorted(maps.Keys(sortKeys())), ", "))
	f.IntVar(&o.Top, "top", 0, "show the first `N` nodes alone")
}

func newStats(std stdio) *cobra.Command {
	var o statsOptions
	cmd := &cobra.Command{
		Use:     "stats [LAB[/NODE]]...",
		GroupID: groupNode,
		Short:   "Show what nodes use: CPU, memory, processes, I/O, packets",
		Long: `Show what nodes use, again at every interval until Ctrl-C: those of all labs, of labs
that are named, or some of their nodes, also by a pattern: "demo/web*".

On a terminal that it does not fit, it is shown by pages; space turns to the next, b to
the one before, and q ends.

  CPU        processors in use over the interval: 0.20 is a fifth of one
  THROTTLED  share of the interval that the limit of CPU has held the node back
  MEMORY     of a node with a limit of memory what the limit counts; else the pages of its
             processes, what they share divided among them, and no peak
  PEAK       most memory so far
  PIDS       processes and threads
  READ       bytes from block devices, and WRITTEN to them
  RX, TX     packets and bytes that have come in and gone out, of each interface

A dash is what this kernel does not count, or a limit that there is not. With --prometheus
FILE is replaced whole each time, as the node exporter's textfile collector needs it.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitNotRunning, exitSignal),
		Example: `  nsnet stats
  nsnet stats demo --no-stream
  nsnet stats demo/r1 'demo/web*' --sort cpu --top 10
  nsnet stats --prometheus /var/lib/prometheus/node-exporter/nsnet.prom`,
		ValidArgsFunction: completeLabOrNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			nodes := make([]selector, len(args))
			for i, arg := range args {
				var err error
				if nodes[i], err = parseSelector(arg); err != nil {
					return usagef(cmd, "%v", err)
				}
			}
			switch {
			case o.Sort != "" && sortKeys()[o.Sort] == nil:
				return usagef(cmd, "--sort %q is none of %s", o.Sort, strings.Join(slices.Sorted(maps.Keys(sortKeys())), ", "))
			case o.Top < 0:
				return usagef(cmd, "--top is a number above 0")
			case o.JSON && o.Prometheus != "":
				return usagef(cmd, "--json and --prometheus exclude each other")
			case o.Interval < minInterval:
				return usagef(cmd, "--interval %s is too short: it is %s at least", o.Interval, minInterval)
			}
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return interrupted(ctx, runStats(ctx, o, nodes, std))
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runStats(ctx context.Context, o statsOptions, nodes []selector, std stdio) error {
	before, err := readUsage(ctx, nodes)
	if err != nil {
		return err
	}
	if err := allMeant(nodes, before); err != nil {
		return err
	}
	if o.Prometheus != "" {
		return writeStats(ctx, o, nodes, before)
	}
	live := !o.NoStream && !o.JSON
	if live && canRewrite(std.out, os.Getenv("TERM")) {
		return watchStats(ctx, o, nodes, before, std)
	}
	for {
		if err := sleep(ctx, o.Interval); err != nil {
			return err
		}
		now, err := readUsage(ctx, nodes)
		if err != nil {
			return err
		}
		used := arranged(now.Since(before), nodes, o.Sort, o.Top)
		before = now
		if o.JSON {
			if err := printJSON(std.out, used); err != nil {
				return err
			}
			return allAnswered(nodes, used)
		}
		text := statsTable(used) + notAnsweringText(used)
		if live {
			text += "\n"
		}
		if err := printText(std.out, text); err != nil {
			return err
		}
		if !live {
			return allAnswered(nodes, used)
		}
	}
}

// notAnsweringText says which labs are left out, and why.
func notAnsweringText(u lab.Usage) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(u.NotAnswering)) {
		b.WriteString(plain(u.NotAnswering[name]) + "\n")
	}
	return b.String()
}

// allAnswered is a failure where a lab that was named has not answered, which has been said.
func allAnswered(named []selector, u lab.Usage) error {
	if len(named) > 0 && len(u.NotAnswering) > 0 {
		return &exitError{code: exitFailure}
	}
	return nil
}

// allMeant returns an error for a selector of nodes by which none is meant.
func allMeant(nodes []selector, u lab.Usage) error {
	for _, s := range nodes {
		if s.pattern != "" && !slices.ContainsFunc(u.Nodes, func(n lab.NodeUsage) bool { return s.matches(n.Lab, n.Node) }) {
			return &lab.Error{Lab: s.lab, Node: s.pattern, Err: lab.ErrNotFound, Remedy: "nsnet ps " + s.lab + " lists the nodes there are"}
		}
	}
	return nil
}

// watchStats draws the tables on a terminal, anew at each look and at each key.
func watchStats(ctx context.Context, o statsOptions, nodes []selector, before lab.Usage, std stdio) error {
	p := newPager(std.in)
	defer p.stop()
	tick := time.NewTicker(o.Interval)
	defer tick.Stop()
	var used lab.Usage
	looked := false
	for {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), printText(std.out, "\n"))
		case k := <-p.keys:
			if p.key(k) {
				return printText(std.out, "\n")
			}
		case <-tick.C:
			now, err := readUsage(ctx, nodes)
			if err != nil {
				return err
			}
			used, before, looked = arranged(now.Since(before), nodes, o.Sort, o.Top), now, true
		}
		if !looked {
			continue
		}
		text := p.show(statsPages(used, terminalHeight(std.out), terminalWidth(std.out)))
		if err := printText(std.out, "\x1b[H\x1b[J"+text); err != nil {
			return err
		}
	}
}

// writeStats writes the file for Prometheus, which counts for itself what is used over time.
func writeStats(ctx context.Context, o statsOptions, nodes []selector, used lab.Usage) error {
	for {
		text := prometheusText(arranged(used, nodes, o.Sort, o.Top))
		if err := renameio.WriteFile(o.Prometheus, []byte(text), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", o.Prometheus, err)
		}
		if o.NoStream {
			return nil
		}
		if err := sleep(ctx, o.Interval); err != nil {
			return err
		}
		var err error
		if used, err = readUsage(ctx, nodes); err != nil {
			return err
		}
	}
}

// readUsage looks at the labs that are named, or at all that run.
func readUsage(ctx context.Context, nodes []selector) (lab.Usage, error) {
	all := lab.Usage{Time: time.Now(), Nodes: []lab.NodeUsage{}}
	var names []string
	for _, s := range nodes {
		if !slices.Contains(names, s.lab) {
			names = append(names, s.lab)
		}
	}
	if len(names) > 0 {
		return lab.ReadUsage(ctx, names...)
	}
	names, err := lab.Names()
	if err != nil {
		return all, err
	}
	for _, name := range names {
		u, err := lab.ReadUsage(ctx, name)
		if errors.Is(err, lab.ErrNotFound) || errors.Is(err, lab.ErrNotRunning) {
			continue // dead, or gone by now
		}
		if err != nil {
			return all, err
		}
		all.Nodes = append(all.Nodes, u.Nodes...)
		if len(u.NotAnswering) > 0 {
			if all.NotAnswering == nil {
				all.NotAnswering = map[string]string{}
			}
			maps.Copy(all.NotAnswering, u.NotAnswering)
		}
	}
	return all, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
