package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

type imageRmOptions struct {
	JSON bool
}

// AddFlags adds the options to f.
func (o *imageRmOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.JSON, "json", false, "print what was removed as JSON")
}

func newImageRm(std stdio) *cobra.Command {
	var o imageRmOptions
	cmd := &cobra.Command{
		Use:   "rm IMAGE...",
		Short: "Remove images from the store",
		Long: `Remove images from the store, with those of their layers that no other image has. An image
that a running lab uses is not removed. While images are being pulled it waits for their
end.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitConflict, exitPermission, exitSignal),
		Example:           `  nsnet image rm debian:12`,
		Args:              imageArgs,
		ValidArgsFunction: completeImage,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withImages(cmd, args, func(ctx context.Context, images []topology.Image) error {
				return runImageRm(ctx, o, images, std)
			})
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runImageRm(ctx context.Context, o imageRmOptions, images []topology.Image, std stdio) error {
	s, err := image.OpenExisting(image.Dir)
	if noStore(err) {
		return fmt.Errorf("image %s: %w in the store", images[0], image.ErrNotFound)
	}
	if err != nil {
		return err
	}
	done, err := runImages(ctx, images, func(i topology.Image) (*image.Image, error) { return s.Remove(ctx, i, lab.ImageUses) })
	if o.JSON {
		return errors.Join(err, printJSON(std.out, done))
	}
	return err
}
