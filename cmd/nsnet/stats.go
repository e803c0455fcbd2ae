package main

import (
	"context"
	"errors"
	"fmt"
	"os"
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
}

// AddFlags adds the options to f.
func (o *statsOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.NoStream, "no-stream", false, "print once, after one interval, and end")
	f.BoolVar(&o.JSON, "json", false, "print once, after one interval, as JSON")
	f.DurationVar(&o.Interval, "interval", time.Second, "time between two looks, over which CPU is measured")
	f.StringVar(&o.Prometheus, "prometheus", "", "print nothing, write `FILE` anew at each look, for Prometheus's node exporter")
}

func newStats(std stdio) *cobra.Command {
	var o statsOptions
	cmd := &cobra.Command{
		Use:     "stats [LAB]",
		GroupID: groupNode,
		Short:   "Show what nodes use: CPU, memory, processes, I/O, packets",
		Long: `Show what the nodes of all labs, or of one, use, again at every interval until Ctrl-C.

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
  nsnet stats --prometheus /var/lib/prometheus/node-exporter/nsnet.prom`,
		Args:              maxArgs(1),
		ValidArgsFunction: completeLab,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.JSON && o.Prometheus != "":
				return usagef(cmd, "--json and --prometheus exclude each other")
			case o.Interval < minInterval:
				return usagef(cmd, "--interval %s is too short: it is %s at least", o.Interval, minInterval)
			}
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return interrupted(ctx, runStats(ctx, o, args, std))
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runStats(ctx context.Context, o statsOptions, args []string, std stdio) error {
	before, err := readUsage(ctx, args)
	if err != nil {
		return err
	}
	if o.Prometheus != "" {
		return writeStats(ctx, o, args, before)
	}
	live := !o.NoStream && !o.JSON
	rewrite := canRewrite(std.out, os.Getenv("TERM"))
	for {
		if err := sleep(ctx, o.Interval); err != nil {
			return err
		}
		now, err := readUsage(ctx, args)
		if err != nil {
			return err
		}
		used := now.Since(before)
		before = now
		if o.JSON {
			return printJSON(std.out, used)
		}
		text := statsTable(used)
		switch {
		case live && rewrite:
			text = "\x1b[H\x1b[J" + text
		case live:
			text += "\n"
		}
		if err := printText(std.out, text); err != nil || !live {
			return err
		}
	}
}

// writeStats writes the file for Prometheus, which counts for itself what is used over time.
func writeStats(ctx context.Context, o statsOptions, args []string, used lab.Usage) error {
	for {
		if err := renameio.WriteFile(o.Prometheus, []byte(prometheusText(used)), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", o.Prometheus, err)
		}
		if o.NoStream {
			return nil
		}
		if err := sleep(ctx, o.Interval); err != nil {
			return err
		}
		var err error
		if used, err = readUsage(ctx, args); err != nil {
			return err
		}
	}
}

// readUsage looks at the lab that is named, or at all that run.
func readUsage(ctx context.Context, args []string) (lab.Usage, error) {
	if len(args) > 0 {
		return lab.ReadUsage(ctx, args[0])
	}
	all := lab.Usage{Time: time.Now(), Nodes: []lab.NodeUsage{}}
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
