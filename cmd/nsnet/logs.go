package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/lab"
)

type logsOptions struct {
	Follow bool
}

// AddFlags adds the options to f.
func (o *logsOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVarP(&o.Follow, "follow", "f", false, "go on until the command ends")
}

func newLogs(std stdio) *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:     "logs NODE",
		GroupID: groupNode,
		Short:   "Print what a node's command has written",
		Long: `Print what a node's command has written to its standard output and error, as it is.
Of a long output, the last MiB at least is kept. That processes of the node were killed
for want of memory is said on standard error.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitNotRunning, exitSignal),
		Example: `  nsnet logs web
  nsnet logs -f demo/web`,
		Args:              exactArgs("NODE"),
		ValidArgsFunction: completeNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runLogs(cmd.Context(), o, args[0], std)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runLogs(ctx context.Context, o logsOptions, ref string, std stdio) error {
	labName, node, err := lab.Find(ctx, ref)
	if err != nil {
		return err
	}
	if err := lab.Logs(ctx, lab.LogsOptions{Lab: labName, Node: node, Follow: o.Follow, Out: std.out}); err != nil {
		return err
	}
	return tellOOM(ctx, labName, node, std)
}

// tellOOM says on standard error that processes of a node were killed at its limit of memory, if any were.
func tellOOM(ctx context.Context, labName, node string, std stdio) error {
	text, err := lab.OutOfMemory(ctx, labName, node)
	if err == nil && text != "" {
		err = printText(std.err, fmt.Sprintf("nsnet: %s/%s: %s\n", plain(labName), plain(node), text))
	}
	return err
}
