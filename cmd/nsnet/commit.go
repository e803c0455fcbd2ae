package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/lab"
)

type commitOptions struct {
	Union string
	JSON  bool
}

// AddFlags adds the options to f.
func (o *commitOptions) AddFlags(f *pflag.FlagSet) {
	f.StringVar(&o.Union, "union", "", "save the changes of the union at this `PATH` of the node, not of its root")
	f.BoolVar(&o.JSON, "json", false, "print the result as JSON")
}

func newCommit(std stdio) *cobra.Command {
	var o commitOptions
	cmd := &cobra.Command{
		Use:     "commit NODE DIR|oci:DIR",
		GroupID: groupNode,
		Short:   "Save what a node has changed as a layer or an image",
		Long: `Save what a node has changed, as nsnet diff lists it. DIR becomes a layer for layers: of a
topology file; oci:DIR an image layout, for image:, of the layers that the node is on and
one with the changes. DIR is new, or empty.

The node goes on meanwhile; nsnet pause keeps it still for one moment's picture. A node
that is down is saved if it has persist: true; it is given as LAB/NODE then.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitConflict, exitPermission, exitNotRunning, exitSignal),
		Example: `  nsnet commit web ./changes
  nsnet commit demo/web oci:./image
  nsnet commit web ./data --union /srv/data`,
		Args:              exactArgs("NODE", "DIR|oci:DIR"),
		ValidArgsFunction: completeNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return interrupted(ctx, runCommit(ctx, o, args[0], args[1], std))
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runCommit(ctx context.Context, o commitOptions, ref, target string, std stdio) error {
	dir, oci := strings.CutPrefix(target, "oci:")
	dir, err := absolute(dir)
	if err != nil {
		return err
	}
	res, err := lab.Commit(ctx, lab.CommitOptions{Node: ref, Path: o.Union, Dir: dir, OCI: oci})
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(std.out, res)
	}
	return printText(std.out, commitText(res))
}

// commitText is commit's result in one line.
func commitText(r lab.CommitResult) string {
	what := "a layer"
	if r.Digest != "" {
		what = fmt.Sprintf("an image of %s, %s", count(r.Layers, "layer"), idText(r.Digest))
	}
	return fmt.Sprintf("%s is %s: %s\n", plain(r.Dir), what, count(r.Changes, "change"))
}
