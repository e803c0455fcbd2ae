package main

import (
	"errors"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/image"
)

type imageLsOptions struct {
	JSON bool
}

// AddFlags adds the options to f.
func (o *imageLsOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.JSON, "json", false, "print all that is known as JSON")
}

func newImageLs(std stdio) *cobra.Command {
	var o imageLsOptions
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the images in the store",
		Long: `List the images in the store. SIZE is that of an image's files; layers that images share
are on disk once, and the JSON's size counts them once.

` + exitStatus(exitOK, exitFailure, exitUsage, exitPermission),
		Example: `  nsnet image ls
  nsnet image ls --json | jq -r '.images[].name'`,
		Args: exactArgs(),
		RunE: func(*cobra.Command, []string) error { return runImageLs(o, std) },
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

// imageList is what image ls prints as JSON.
type imageList struct {
	Images []image.Image `json:"images"`
	Size   int64         `json:"size"` // of all layers, each counted once
}

func runImageLs(o imageLsOptions, std stdio) error {
	list := imageList{Images: []image.Image{}}
	s, err := image.OpenExisting(image.Dir)
	switch {
	case err == nil:
		list.Images, err = s.List()
	case noStore(err):
		err = nil
	default:
		return err
	}
	if list.Images == nil {
		return err
	}
	seen := map[string]bool{}
	for _, i := range list.Images {
		for _, l := range i.Layers {
			if !seen[l.DiffID] {
				seen[l.DiffID] = true
				list.Size += l.Size
			}
		}
	}
	if o.JSON {
		return errors.Join(err, printJSON(std.out, list))
	}
	rows := [][]string{{"IMAGE", "ID", "LAYERS", "SIZE", "PULLED"}}
	for _, i := range list.Images {
		rows = append(rows, []string{plain(i.Name), idText(i.ID), strconv.Itoa(len(i.Layers)), bytesText(i.Size()), i.Pulled.Local().Format(time.DateTime)})
	}
	return errors.Join(err, printText(std.out, table(rows, nil)))
}
