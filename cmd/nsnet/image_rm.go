package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

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
end. An id, as nsnet image ls prints it, stands for all images that have it.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitConflict, exitPermission, exitSignal),
		Example: `  nsnet image rm debian:12
  nsnet image rm f638b1bfe302`,
		Args:              imageArgs,
		ValidArgsFunction: completeImage,
		RunE: func(cmd *cobra.Command, args []string) error {
			named, err := namesOfIDs(args)
			if err != nil {
				return err
			}
			return withImages(cmd, named, func(ctx context.Context, images []topology.Image) error {
				return runImageRm(ctx, o, images, std)
			})
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

// namesOfIDs puts the names of the store's images in place of ids.
func namesOfIDs(args []string) ([]string, error) {
	id := regexp.MustCompile(`^(sha256:)?([0-9a-f]{12,64})$`)
	if !slices.ContainsFunc(args, id.MatchString) {
		return args, nil
	}
	s, err := image.OpenExisting(image.Dir)
	if noStore(err) {
		return args, nil
	}
	if err != nil {
		return nil, err
	}
	images, err := s.List()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, a := range args {
		at := len(names)
		if m := id.FindStringSubmatch(a); m != nil {
			for _, i := range images {
				if strings.HasPrefix(i.ID, "sha256:"+m[2]) {
					names = append(names, i.Name)
				}
			}
		}
		if len(names) == at { // it is a name, then
			names = append(names, a)
		}
	}
	return names, nil
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
