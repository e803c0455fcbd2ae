package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

type imagePullOptions struct {
	JSON bool
}

// AddFlags adds the options to f.
func (o *imagePullOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.JSON, "json", false, "print what was fetched as JSON")
}

func newImagePull(std stdio) *cobra.Command {
	var o imagePullOptions
	cmd := &cobra.Command{
		Use:   "pull IMAGE...",
		Short: "Fetch images into the store",
		Long: `Fetch images into the store, also those that are there, if there is something new behind
their names. Layers that are there are not fetched again. Registries get the credentials
that docker login has kept in Docker's configuration file.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitSignal),
		Example: `  nsnet image pull debian:12
  nsnet image pull docker-daemon:my-router oci:build/image`,
		Args: imageArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withImages(cmd, args, func(ctx context.Context, images []topology.Image) error {
				return runImagePull(ctx, o, images, "", std)
			})
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func newImageImport(std stdio) *cobra.Command {
	var o imagePullOptions
	cmd := &cobra.Command{
		Use:   "import SOURCE NAME",
		Short: "Put an image of a file into the store under a registry's name",
		Long: `Put an image into the store under a name such as debian:12, as if it had been pulled from
a registry: for machines that reach none. SOURCE is a file that docker save has written,
an archive of an OCI image layout, the directory of one, or an image as in
"nsnet image --help".

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitSignal),
		Example: `  nsnet image import router.tar example.org/router:1
  nsnet image import oci:build/image:v2 router:v2`,
		Args: exactArgs("SOURCE", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := importSource(cmd, args[0])
			if err != nil {
				return err
			}
			name, err := topology.ParseReference(args[1])
			if err != nil {
				return usagef(cmd, "NAME %q %v", args[1], err)
			}
			if name.Digest != "" {
				return usagef(cmd, "NAME %q has a digest, which only a registry's manifest has", args[1])
			}
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return interrupted(ctx, runImagePull(ctx, o, []topology.Image{source}, name.String(), std))
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

// importSource takes a path for what it is.
func importSource(cmd *cobra.Command, text string) (topology.Image, error) {
	st, err := os.Stat(text)
	switch {
	case err == nil && st.IsDir():
		return absImage(topology.Image{Kind: topology.ImageOCI, Path: text})
	case err == nil:
		return absImage(topology.Image{Kind: topology.ImageDockerArchive, Path: text})
	}
	return parseImage(cmd, text)
}

// absImage is an image with an absolute path.
func absImage(i topology.Image) (topology.Image, error) {
	dir, err := absolute(".")
	if err != nil {
		return i, err
	}
	return i.Abs(dir).Settle(func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}), nil
}

func runImagePull(ctx context.Context, o imagePullOptions, images []topology.Image, as string, std stdio) error {
	s, err := image.Open(image.Dir)
	if err != nil {
		return err
	}
	done, err := runImages(ctx, images, func(i topology.Image) (*image.Image, error) {
		p := newProgress(std.err, "pull "+i.String(), "")
		defer p.Done()
		return s.Pull(ctx, i, image.PullOptions{As: as, Progress: func(done, total int) {
			p.Step(lab.Step{Name: "layers", Done: done, Total: total})
		}})
	})
	if err != nil && len(done) == 0 {
		return err
	}
	var perr error
	if o.JSON {
		perr = printJSON(std.out, done)
	} else {
		text := ""
		for _, i := range done {
			text += fmt.Sprintf("%s is in the store: %s, %d layers, %s\n", plain(i.Name), idText(i.ID), len(i.Layers), bytesText(i.Size()))
		}
		perr = printText(std.out, text)
	}
	if err == nil {
		err = perr
	}
	return err
}
