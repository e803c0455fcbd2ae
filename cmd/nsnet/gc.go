package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/attach"
	"github.com/nsnet/nsnet/lab"
)

type gcOptions struct {
	DryRun bool
	Force  bool
	JSON   bool
}

// AddFlags adds the options to f.
func (o *gcOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVarP(&o.DryRun, "dry-run", "n", false, "print what would be removed, and remove nothing")
	f.BoolVar(&o.Force, "force", false, "remove dead labs whose records cannot be read, too")
	f.BoolVar(&o.JSON, "json", false, "print the result as JSON")
}

func newGC(std stdio) *cobra.Command {
	var o gcOptions
	cmd := &cobra.Command{
		Use:     "gc",
		GroupID: groupLab,
		Short:   "Remove what dead labs have left",
		Long: `Remove what labs have left that ended without nsnet down, and what no lab's record tells
of any more: control groups without processes, names in /run/netns that lead nowhere,
files in /etc/netns, interfaces and firewall rules. Only what carries nsnet's mark is
looked at, and nothing of a lab that lives. Attachments that are gone are put in order.

Every command removes what the records tell of; gc is for the rest, and for telling.

A record that is damaged, or was written by a newer nsnet, keeps a dead lab from being
removed. With --force it is removed by what the kernel shows of it; sysctls of the host
that it had changed stay as they are, for what they were is not known then.

` + exitStatus(exitOK, exitFailure, exitUsage, exitPermission, exitSignal),
		Example: `  nsnet gc --dry-run
  nsnet gc`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return interrupted(ctx, runGC(ctx, o, std))
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

// gcResult is the JSON of gc.
type gcResult struct {
	DryRun  bool           `json:"dry_run"`
	Removed []lab.Leftover `json:"removed"`
	Kept    []lab.Leftover `json:"kept"`
}

func runGC(ctx context.Context, o gcOptions, std stdio) error {
	all, err := lab.Collect(ctx, lab.CollectOptions{DryRun: o.DryRun, Force: o.Force})
	if errors.Is(err, lab.ErrPermission) {
		return err
	}
	gone, aerr := goneAttachments(ctx, o.DryRun)
	res := gcResult{DryRun: o.DryRun, Removed: []lab.Leftover{}, Kept: []lab.Leftover{}}
	for _, l := range append(all, gone...) {
		if l.Kept != "" {
			res.Kept = append(res.Kept, l)
		} else {
			res.Removed = append(res.Removed, l)
		}
	}
	if o.JSON {
		return errors.Join(printJSON(std.out, res), err, aerr)
	}
	return errors.Join(printText(std.out, gcText(res)), err, aerr)
}

// goneAttachments puts in order what interfaces that have gone by themselves had changed.
func goneAttachments(ctx context.Context, dry bool) ([]lab.Leftover, error) {
	list, err := attach.List(ctx)
	var gone []lab.Leftover
	for _, s := range list {
		if s.State == attach.Gone {
			gone = append(gone, lab.Leftover{Kind: "attachment", Name: s.Interface + " of " + s.Target})
		}
	}
	if dry {
		return gone, err
	}
	return gone, errors.Join(err, attach.Sweep(ctx))
}

func gcText(r gcResult) string {
	verb := "removed"
	if r.DryRun {
		verb = "would remove"
	}
	var b strings.Builder
	for _, l := range r.Removed {
		fmt.Fprintf(&b, "%s %s %s\n", verb, l.Kind, plain(l.Name))
	}
	for _, l := range r.Kept {
		fmt.Fprintf(&b, "kept %s %s: %s\n", l.Kind, plain(l.Name), plain(l.Kept))
	}
	if b.Len() == 0 {
		return "nothing to remove\n"
	}
	return b.String()
}
