package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

// newImage is the command that holds the commands about images.
func newImage(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "image COMMAND",
		GroupID: groupImage,
		Short:   "Fetch, list and remove images of nodes",
		Long: `Fetch, list and remove images of nodes. They are kept unpacked below /var/lib/nsnet, each
layer once for all nodes and labs. An image is

  debian:12, host/name:tag@sha256:...   at a registry
  oci:DIR, oci:DIR:NAME                 an OCI image layout
  oci-archive:FILE[:NAME]               a tar archive of such a layout
  docker-archive:FILE                   what docker save writes
  docker-daemon:NAME                    an image of the Docker Engine of this machine

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitConflict, exitPermission, exitSignal),
		Example: `  nsnet image pull debian:12
  nsnet image ls`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownCommand(cmd, args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newImagePull(std), newImageImport(std), newImageLs(std), newImageRm(std))
	for _, c := range cmd.Commands() {
		sweepAfter(c, std, sweepImages)
	}
	return cmd
}

// sweepImages removes what killed pulls have left.
func sweepImages(context.Context) error {
	s, err := image.OpenExisting(image.Dir)
	if err != nil {
		return nil //nolint:nilerr // none, or not ours to look at, which the command has said
	}
	return s.Sweep(lab.ImageUses)
}

// parseImage understands an image of the command line.
func parseImage(cmd *cobra.Command, text string) (topology.Image, error) {
	i, err := topology.ParseImage(text)
	if err != nil {
		return i, usagef(cmd, "image %q %v", text, err)
	}
	if !i.Stored() {
		return i, usagef(cmd, "image %q is not one with layers: there is nothing to keep of it", text)
	}
	return absImage(i)
}

// withImages understands a command's images, all of them before it does anything, and does it until a signal comes.
func withImages(cmd *cobra.Command, args []string, do func(context.Context, []topology.Image) error) error {
	images := make([]topology.Image, len(args))
	for n, a := range args {
		i, err := parseImage(cmd, a)
		if err != nil {
			return err
		}
		images[n] = i
	}
	ctx, stop := withSignals(cmd.Context())
	defer stop()
	return interrupted(ctx, do(ctx, images))
}

// runImages does something with each image. One that fails does not keep the others.
func runImages(ctx context.Context, images []topology.Image, do func(topology.Image) (*image.Image, error)) ([]image.Image, error) {
	done, failures := []image.Image{}, []error{}
	for _, i := range images {
		img, err := do(i)
		if img != nil {
			done = append(done, *img)
		}
		if err != nil {
			failures = append(failures, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return done, errors.Join(failures...)
}

// imageArgs takes one image or more.
func imageArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef(cmd, "IMAGE is missing")
	}
	return nil
}

// completeImage offers the images of the store.
func completeImage(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if s, err := image.OpenExisting(image.Dir); err == nil {
		images, _ := s.List()
		for _, i := range images {
			names = append(names, plain(i.Name))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// noStore tells that there is no store yet.
func noStore(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// idText is enough of an image's id.
func idText(id string) string {
	return plain(image.ShortID(id))
}
