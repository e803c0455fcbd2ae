package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/lab"
)

type diffOptions struct {
	JSON bool
}

// AddFlags adds the options to f.
func (o *diffOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.JSON, "json", false, "print the list as JSON")
}

func newDiff(std stdio) *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:     "diff NODE",
		GroupID: groupNode,
		Short:   "List what a node has changed of its files",
		Long: `List the paths of a node that are not as its layers have them: A was added, C changed,
D deleted. Its root is compared, and every union whose layers are not written in place.
What nsnet itself has put there is no change.

A node that is down is compared if it has persist: true; it is given as LAB/NODE then.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitConflict, exitPermission, exitNotRunning),
		Example: `  nsnet diff web
  nsnet diff demo/web --json`,
		Args:              exactArgs("NODE"),
		ValidArgsFunction: completeNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDiff(cmd.Context(), o, args[0], std)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runDiff(ctx context.Context, o diffOptions, ref string, std stdio) error {
	changes, err := lab.Diff(ctx, ref)
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(std.out, changes)
	}
	var b strings.Builder
	for _, c := range changes {
		b.WriteString(c.Kind + " " + plain(c.Path) + "\n")
	}
	return printText(std.out, b.String())
}
