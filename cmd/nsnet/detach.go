package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/attach"
)

type detachOptions struct {
	Target    targetOptions
	Interface string
	All       bool
	JSON      bool
}

// AddFlags adds the options to f.
func (o *detachOptions) AddFlags(f *pflag.FlagSet) {
	o.Target.AddFlags(f, "", "the target")
	f.StringVar(&o.Interface, "ifname", "", "the interface's `NAME` in the target")
	f.BoolVar(&o.All, "all", false, "every interface that nsnet attached to the target")
	f.BoolVar(&o.JSON, "json", false, "print the interfaces that were taken away as JSON")
	f.SortFlags = false
}

func newDetach(std stdio) *cobra.Command {
	var o detachOptions
	cmd := &cobra.Command{
		Use:     "detach TARGET --ifname NAME | --all",
		GroupID: groupNode,
		Short:   "Take an attached interface away",
		Long: `Take away an interface that nsnet attach has made, and put back what that had changed:
the default route, resolv.conf, the host's interface that was lent. It is no error when
there is nothing to take away, or when the target is dead. No other interface is touched.

` + exitStatus(exitOK, exitFailure, exitUsage, exitConflict, exitPermission, exitSignal),
		Example: `  nsnet detach --container web --ifname eth1
  nsnet detach --pid 9166 --all`,
		DisableFlagsInUseLine: true,
		Args:                  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ref, err := o.Target.one(cmd, "")
			switch {
			case err != nil:
				return err
			case o.All && o.Interface != "":
				return usagef(cmd, "--all and --ifname exclude each other")
			case !o.All && o.Interface == "":
				return usagef(cmd, "which interface? give --ifname NAME or --all")
			}
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return interrupted(ctx, engineUsage(cmd, runDetach(ctx, o, ref, std)))
		},
	}
	o.AddFlags(cmd.Flags())
	completeTargets(cmd, "")
	return cmd
}

// detached is what detach prints of an interface as JSON.
type detached struct {
	Target    string `json:"target"`
	Interface string `json:"interface"`
}

func runDetach(ctx context.Context, o detachOptions, ref attach.Ref, std stdio) error {
	res, err := attach.Detach(ctx, ref, o.Interface, o.All)
	if err != nil {
		return err
	}
	list := []detached{}
	for _, r := range res.Detached {
		list = append(list, detached{r.Request.Target.String(), r.Request.Interface})
	}
	if o.JSON {
		return printJSON(std.out, list)
	}
	if len(list) == 0 {
		say(std.err, "nsnet: %s: nothing to detach\n", plain(ref.String()))
		return nil
	}
	text := ""
	for _, d := range list {
		text += fmt.Sprintf("%s of %s is detached in %s\n", plain(d.Interface), plain(d.Target), elapsedText(res.Elapsed))
	}
	return printText(std.out, text)
}
