package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/nsnet/nsnet/attach"
	"github.com/nsnet/nsnet/lab"
)

// sweepAfter makes a command end by removing what dead labs have left, whether it succeeded
// or not: it has shown a dead lab by then. It keeps the command's own verdict.
func sweepAfter(cmd *cobra.Command, std stdio, sweep func(context.Context) error) {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := run(cmd, args)
		if failure := sweep(cmd.Context()); failure != nil {
			sayError(std.err, "nsnet: note: ", failure)
		}
		return err
	}
}

// touchesLabs tells the commands that look at labs or change them from those that do not.
func touchesLabs(cmd *cobra.Command) bool {
	return (cmd.GroupID == groupLab || cmd.GroupID == groupNode) && cmd.Name() != "gc" // which does so itself, if at all
}

// sweepLabs makes every command of root that touches labs end with lab.Sweep, and those that
// do not have to be fast with attach.Sweep, too.
func sweepLabs(root *cobra.Command, std stdio) {
	for _, cmd := range root.Commands() {
		if !touchesLabs(cmd) {
			continue
		}
		sweep := lab.Sweep
		switch cmd.Name() {
		case "exec", "logs", "attach":
		default:
			sweep = func(ctx context.Context) error { return errors.Join(lab.Sweep(ctx), attach.Sweep(ctx)) }
		}
		sweepAfter(cmd, std, sweep)
	}
}
