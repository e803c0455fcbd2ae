package main

import (
	"context"
	"fmt"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

type killOptions struct {
	Signal string
	JSON   bool
}

// AddFlags adds the options to f.
func (o *killOptions) AddFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.Signal, "signal", "s", "KILL", "send this `SIGNAL`, a name or a number")
	f.BoolVar(&o.JSON, "json", false, "print the result as JSON")
}

func newKill(std stdio) *cobra.Command {
	var o killOptions
	cmd := &cobra.Command{
		Use:     "kill LAB|NODE",
		GroupID: groupNode,
		Short:   "Send a signal to the command of a node or of a lab's nodes",
		Long: `Send a signal, SIGKILL if none is named, to the first process of a node's command, or of
each command of a lab. Nothing else is done: a restart policy starts again what ends by
it, as after a crash, and what the command has started goes on. To end a command with all
that it has started there is nsnet stop.

A name without a slash is a lab's, or else that of a node which only one running lab has.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitNotRunning, exitStuck),
		Example: `  nsnet kill demo/web
  nsnet kill demo/r1 -s HUP`,
		Args:              exactArgs("LAB|NODE"),
		ValidArgsFunction: completeLabOrNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			signal, err := topology.ParseSignal(o.Signal)
			if err != nil {
				return usagef(cmd, "--signal %q %v", o.Signal, err)
			}
			return runKill(cmd.Context(), o, syscall.Signal(signal), args[0], std)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runKill(ctx context.Context, o killOptions, signal syscall.Signal, ref string, std stdio) error {
	labName, node, err := labOrNode(ctx, ref)
	if err != nil {
		return err
	}
	res, err := lab.Kill(ctx, lab.KillOptions{Lab: labName, Node: node, Signal: signal})
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(std.out, res)
	}
	return printText(std.out, killText(res, node, topology.SignalName(int(signal))))
}

// killText is the result in one line: "SIGHUP is sent to demo/r1".
func killText(r lab.CommandResult, node, signal string) string {
	switch {
	case node != "":
		return fmt.Sprintf("%s is sent to %s/%s\n", signal, plain(r.Name), plain(node))
	case len(r.Nodes) == 0:
		return plain(r.Name) + ": no command runs, nothing to do\n"
	}
	return fmt.Sprintf("%s is sent to %s of %s\n", signal, count(len(r.Nodes), "node"), plain(r.Name))
}
