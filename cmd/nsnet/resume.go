package main

import (
	"github.com/spf13/cobra"

	"github.com/nsnet/nsnet/lab"
)

func newResume(std stdio) *cobra.Command {
	var o pauseOptions
	cmd := &cobra.Command{
		Use:     "resume LAB|NODE",
		GroupID: groupNode,
		Short:   "Let a paused node or lab go on",
		Long: `Let the processes that nsnet pause has stopped go on, those of a node or of every node of
a lab. It is no error when nothing is paused.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitBusy, exitNotRunning, exitSignal),
		Example: `  nsnet resume web
  nsnet resume demo`,
		Args:              exactArgs("LAB|NODE"),
		ValidArgsFunction: completeLabOrNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return interrupted(ctx, runPause(ctx, o, args[0], lab.Resume, std))
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}
