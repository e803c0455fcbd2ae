package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsnet/nsnet/lab"
)

func newCp(std stdio) *cobra.Command {
	return &cobra.Command{
		Use:     "cp NODE:PATH PATH | PATH NODE:PATH",
		GroupID: groupNode,
		Short:   "Copy files out of a node or into it",
		Long: `Copy a file or a directory with all that is in it out of a node or into it. Where the
destination is a directory it goes into that under its own name, else it becomes what is
named; a source that ends in /. gives its content. A path of the host that has a colon is
written as ./a:b.

A path of a node counts from its root. Symbolic links, permissions and times are kept.
Owners are not: files belong to whoever copies them here, and to root in the node; and of
a file with several names each becomes one of its own. No program of the node is needed.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitNotRunning, exitSignal),
		Example: `  nsnet cp demo/r1:/etc/frr/frr.conf .
  nsnet cp ./www/. web:/var/www/html`,
		Args: exactArgs("SOURCE", "DESTINATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if slices.Contains(args, "-") {
				return usagef(cmd, "\"-\" is no path: nsnet exec NODE -- cat PATH prints a file of a node, nsnet exec -i NODE -- tee PATH writes one; a file of that name is ./-")
			}
			from, fromNode := splitNodePath(args[0])
			to, toNode := splitNodePath(args[1])
			o := lab.CopyOptions{Note: func(text string) { say(std.err, "nsnet: note: %s\n", plain(text)) }}
			ref := from
			switch {
			case fromNode != "" && toNode != "":
				return usagef(cmd, "one of SOURCE and DESTINATION is of this host")
			case fromNode != "":
				o.FromNode, o.Host = fromNode, args[1]
			case toNode != "":
				o.ToNode, o.Host, ref = toNode, args[0], to
			default:
				return usagef(cmd, "one of SOURCE and DESTINATION is NODE:PATH")
			}
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return interrupted(ctx, runCp(ctx, o, ref))
		},
	}
}

// splitNodePath splits NODE:PATH; node is "" for a path of the host. No node or lab has a name that
// begins like a path.
func splitNodePath(arg string) (node, path string) {
	node, path, found := strings.Cut(arg, ":")
	if !found || path == "" || node == "" || strings.HasPrefix(arg, ".") || strings.HasPrefix(arg, "/") {
		return "", ""
	}
	return node, path
}

func runCp(ctx context.Context, o lab.CopyOptions, ref string) error {
	if _, err := absolute(o.Host); err != nil {
		return err
	}
	var err error
	if o.Lab, o.Node, err = lab.Find(ctx, ref); err != nil {
		return findError(ref, "", err)
	}
	return lab.Copy(ctx, o)
}
