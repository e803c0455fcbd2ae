package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

type updateOptions struct {
	CPU, CPUWeight, CPUSet, Memory, MemorySwap, MemoryReservation, Pids string

	IO, HugeTLB []string
	NoWait      bool
	JSON        bool
}

// AddFlags adds the options to f.
func (o *updateOptions) AddFlags(f *pflag.FlagSet) {
	f.StringVar(&o.CPU, "cpu", "", "processor time in `CORES`, as 0.5, or none")
	f.StringVar(&o.CPUWeight, "cpu-weight", "", "share of busy processors, `1..10000`, or none")
	f.StringVar(&o.CPUSet, "cpuset", "", "processors it may run on, a `LIST` as 0-2,5, or none")
	f.StringVar(&o.Memory, "memory", "", "memory, a `SIZE` as 64MiB, or none")
	f.StringVar(&o.MemorySwap, "memory-swap", "", "memory and swap together, a `SIZE`, or none for no swap")
	f.StringVar(&o.MemoryReservation, "memory-reservation", "", "memory left to it when there is little, a `SIZE`, or none")
	f.StringVar(&o.Pids, "pids", "", "processes and threads, a `NUMBER`, max, or none")
	f.StringArrayVar(&o.IO, "io", nil, "traffic to a disk, as `device=PATH,read_bps=1MiB`; can be repeated; none takes all back")
	f.StringArrayVar(&o.HugeTLB, "hugetlb", nil, "huge pages, as `2MiB=64MiB`; can be repeated; none takes all back")
	f.BoolVar(&o.NoWait, "no-wait", false, "fail when another nsnet is at work on the lab, do not wait for it")
	f.BoolVar(&o.JSON, "json", false, "print the result as JSON")
}

// limits are the flags in the terms of a topology file: what to set, and what to take back.
func (o *updateOptions) limits() (set topology.Limits, lift []string, err error) {
	texts := map[string][]string{"io": o.IO, "hugetlb": o.HugeTLB}
	for key, text := range map[string]string{"cpu": o.CPU, "cpu_weight": o.CPUWeight, "cpuset": o.CPUSet, "memory": o.Memory,
		"memory_swap": o.MemorySwap, "memory_reservation": o.MemoryReservation, "pids": o.Pids} {
		if text != "" {
			texts[key] = []string{text}
		}
	}
	for key, given := range texts {
		if slices.Contains(given, "none") {
			lift = append(lift, key)
			texts[key] = slices.DeleteFunc(slices.Clone(given), func(s string) bool { return s == "none" })
		}
	}
	slices.Sort(lift)
	set, err = topology.ParseLimits(texts)
	return set, lift, err
}

func newUpdate(std stdio) *cobra.Command {
	var o updateOptions
	cmd := &cobra.Command{
		Use:     "update NODE",
		GroupID: groupNode,
		Short:   "Change the limits of a running node",
		Long: `Change limits of a node while it runs; those that are not given stay. Values are as in
the topology file; none takes a limit back. They hold until the next nsnet up or down of
the lab: the file is not changed, and up gives the lab what the file says.

A limit of memory below what the node has costs it its largest processes. A node that had
no such limit is charged from then on, with memory that it takes, not with what it has.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitUnsupported, exitBusy, exitNotRunning, exitSignal),
		Example: `  nsnet update web --memory 128MiB --cpu 0.5
  nsnet update demo/web --pids none`,
		Args:              exactArgs("NODE"),
		ValidArgsFunction: completeNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			set, lift, err := o.limits()
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			if len(lift) == 0 && set.None() {
				return usagef(cmd, "no limit is given: --cpu, --memory, --pids or another")
			}
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return interrupted(ctx, runUpdate(ctx, o, args[0], lab.UpdateOptions{Set: set, Lift: lift, NoWait: o.NoWait}, std))
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runUpdate(ctx context.Context, o updateOptions, ref string, u lab.UpdateOptions, std stdio) error {
	var err error
	if u.Lab, u.Node, err = lab.Find(ctx, ref); err != nil {
		return findError(ref, "", err)
	}
	res, err := lab.Update(ctx, u)
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(std.out, res)
	}
	return printText(std.out, updateText(res))
}

// updateText is the result in one line: "demo/web is limited to cpu 0.5, memory 128 MiB".
func updateText(r lab.UpdateResult) string {
	limits := limitsText(r.Limits)
	if limits == "" {
		return fmt.Sprintf("%s/%s has no limits\n", plain(r.Name), plain(r.Node))
	}
	return fmt.Sprintf("%s/%s is limited to %s\n", plain(r.Name), plain(r.Node), limits)
}
