package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/lab"
)

// commandOptions are those of stop, start and restart.
type commandOptions struct {
	Time        float64 // seconds
	NoWait      bool
	JSON        bool
	Wait        bool
	WaitTimeout time.Duration
}

// AddFlags adds the options to f: grace where something is stopped, starts where something is started.
func (o *commandOptions) AddFlags(f *pflag.FlagSet, grace, starts bool) {
	o.Time = lab.DefaultGrace.Seconds()
	if grace {
		f.Float64VarP(&o.Time, "time", "t", o.Time, "seconds between SIGTERM and SIGKILL")
	}
	if starts {
		f.BoolVar(&o.Wait, "wait", false, "return when what was started is ready, as its check says")
		f.DurationVar(&o.WaitTimeout, "wait-timeout", 0, "with --wait, fail when that takes longer, 1m30s for example")
	}
	f.BoolVar(&o.NoWait, "no-wait", false, "fail when another nsnet is at work on the lab, do not wait for it")
	f.BoolVar(&o.JSON, "json", false, "print the result as JSON")
}

// commandFunc is lab.Stop, lab.Start or lab.Restart.
type commandFunc func(context.Context, lab.CommandOptions) (lab.CommandResult, error)

// newCommand makes stop, start and restart, which differ in words alone.
func newCommand(std stdio, name, short, long string, grace bool, do commandFunc, codes ...int) *cobra.Command {
	var o commandOptions
	cmd := &cobra.Command{
		Use:     name + " LAB|NODE",
		GroupID: groupNode,
		Short:   short,
		Long: long + `

A name without a slash is a lab's, or else that of a node which only one running lab has.

` + exitStatus(codes...),
		Example: fmt.Sprintf("  nsnet %s demo/web\n  nsnet %s demo", name, name),
		Args:    exactArgs("LAB|NODE"),

		ValidArgsFunction: completeLabOrNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !(o.Time >= 0) || o.Time > math.MaxInt32 {
				return usagef(cmd, "--time is a number of seconds from 0")
			}
			if o.WaitTimeout < 0 || o.WaitTimeout > 0 && !o.Wait {
				return usagef(cmd, "--wait-timeout is a time above 0, and needs --wait")
			}
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return interrupted(ctx, runCommand(ctx, o, name, args[0], do, std))
		},
	}
	o.AddFlags(cmd.Flags(), grace, name != "stop")
	return cmd
}

func runCommand(ctx context.Context, o commandOptions, name, ref string, do commandFunc, std stdio) error {
	labName, node, err := labOrNode(ctx, ref)
	if err != nil {
		return err
	}
	res, err := do(ctx, lab.CommandOptions{Lab: labName, Node: node, Grace: time.Duration(o.Time * float64(time.Second)), NoWait: o.NoWait})
	if err == nil && o.Wait {
		err = waitReady(ctx, labName, node, o.WaitTimeout)
	}
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(std.out, res)
	}
	return printText(std.out, commandResult(res, name, node))
}

// commandResult is the result in one line: "demo/web is stopped", "demo is restarted: 3 nodes".
func commandResult(r lab.CommandResult, name, node string) string {
	what := plain(r.Name)
	if node != "" {
		what += "/" + plain(node)
	}
	done := map[string]string{"stop": "stopped", "start": "started", "restart": "restarted"}[name]
	switch {
	case len(r.Nodes) > 0 && node != "":
		return fmt.Sprintf("%s is %s\n", what, done)
	case len(r.Nodes) > 0:
		return fmt.Sprintf("%s is %s: %s\n", what, done, count(len(r.Nodes), "node"))
	case name == "stop":
		return what + " is stopped already, nothing to do\n"
	case name == "start":
		return what + " runs already, nothing to do\n"
	}
	return what + " has no command, nothing to do\n"
}
