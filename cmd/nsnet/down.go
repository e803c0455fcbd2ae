package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

type downOptions struct {
	All    bool
	NoWait bool
	Purge  bool
	JSON   bool
}

// AddFlags adds the options to f.
func (o *downOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.All, "all", false, "remove every lab of this host")
	f.BoolVar(&o.NoWait, "no-wait", false, "fail when another nsnet is at work on the lab, do not wait for it")
	f.BoolVar(&o.Purge, "purge", false, "remove what nodes with persist: true have kept, too")
	f.BoolVar(&o.JSON, "json", false, "print the result as JSON")
}

func newDown(std stdio) *cobra.Command {
	var o downOptions
	cmd := &cobra.Command{
		Use:     "down LAB|FILE|--all",
		GroupID: groupLab,
		Short:   "Remove a lab",
		Long: `Remove a lab and everything that is left of it, and return when all of it is gone.
Removing what is not there is no error. What nodes with persist: true have written is
kept for the next up, unless --purge is given; that also works for a lab that is down.

The argument is a lab's name, or the topology file that has made it. It is
a file when it contains a slash, ends in .yaml or .yml, or is a file here and no lab of
this host bears the name.

` + exitStatus(exitOK, exitFailure, exitUsage, exitFile, exitConflict, exitPermission, exitBusy, exitSignal),
		Example: `  nsnet down demo
  nsnet down demo.yaml
  nsnet down demo --purge
  nsnet down --all`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.All && len(args) > 0:
				return usagef(cmd, "--all and %q exclude each other", args[0])
			case o.All:
				return nil
			case len(args) == 0:
				return usagef(cmd, "LAB, FILE or --all is missing")
			case args[0] == "":
				return usagef(cmd, "LAB is empty")
			case strings.ContainsAny(args[0], "*?[") && !strings.Contains(args[0], "/"):
				return usagef(cmd, "%q is no lab's name, and patterns are not for labs; --all removes all", args[0])
			}
			return maxArgs(1)(cmd, args)
		},
		ValidArgsFunction: completeLabOrFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return runDown(ctx, o, args, std)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runDown(ctx context.Context, o downOptions, args []string, std stdio) error {
	if o.All {
		names, err := lab.Names()
		if err != nil {
			return err
		}
		if o.Purge {
			kept, err := lab.KeptNames()
			if err != nil {
				return err
			}
			names = append(names, kept...)
			slices.Sort(names)
			names = slices.Compact(names)
		}
		return interrupted(ctx, downAll(ctx, o, names, lab.Down, std))
	}
	name, of, err := downName(ctx, args[0], std)
	if err == nil {
		err = checkRoot()
	}
	if err != nil {
		return err
	}
	res, err := downOne(ctx, o, name, of, lab.Down, std)
	if err != nil {
		return interrupted(ctx, err)
	}
	if o.JSON {
		return printJSON(std.out, res)
	}
	return nil
}

// downFunc is lab.Down.
type downFunc func(context.Context, lab.DownOptions) (lab.DownResult, error)

// downAll removes the named labs. One that cannot be removed does not keep the others.
func downAll(ctx context.Context, o downOptions, names []string, down downFunc, std stdio) error {
	results, failures := []lab.DownResult{}, []error{}
	for _, name := range names {
		res, err := downOne(ctx, o, name, nil, down, std)
		if err != nil {
			failures = append(failures, err)
		} else {
			results = append(results, res)
		}
		if ctx.Err() != nil {
			failures = append(failures, ctx.Err())
			break
		}
	}
	if len(names) == 0 {
		say(std.err, "nsnet: nothing to remove\n")
	}
	if o.JSON {
		failures = append(failures, printJSON(std.out, results))
	}
	return errors.Join(failures...)
}

// downOne removes one lab and, unless JSON is wanted, prints the result.
func downOne(ctx context.Context, o downOptions, name string, of *topology.Lab, down downFunc, std stdio) (lab.DownResult, error) {
	p := newProgress(std.err, "down "+name, "")
	res, err := down(ctx, lab.DownOptions{Name: name, Of: of, NoWait: o.NoWait, Purge: o.Purge, Progress: p.Step})
	p.Done()
	switch {
	case err != nil:
		return res, err
	case !res.Found:
		say(std.err, "nsnet: lab %s: nothing to remove\n", plain(name))
	case !o.JSON:
		return res, printText(std.out, downText(res))
	}
	return res, nil
}

// downText is down's result in one line.
func downText(r lab.DownResult) string {
	kept := ""
	if r.Purged {
		kept = ", with what its nodes had kept"
	}
	return fmt.Sprintf("%s is down: removed in %s%s\n", plain(r.Name), elapsedText(r.Elapsed), kept)
}

// downName turns down's argument into the name of a lab, and returns what says it if that is a file.
func downName(ctx context.Context, arg string, std stdio) (name string, of *topology.Lab, err error) {
	if !isFileArg(arg, lab.Names) {
		return arg, nil, nil
	}
	// Whether the file's binds still exist says nothing about the lab that it once made.
	l, err := loadFile(ctx, arg, std, topology.Options{})
	if err != nil {
		return "", nil, &fileError{err: err, remedy: "the lab's name cannot be read from the file; give the name instead: nsnet down NAME (nsnet ps lists the names)"}
	}
	return l.Name, l, nil
}

// isFileArg tells whether down's argument means a topology file. labs lists the labs of
// this host; it is asked only where the argument may be either.
func isFileArg(arg string, labs func() ([]string, error)) bool {
	ext := filepath.Ext(arg)
	if arg == stdinArg || strings.Contains(arg, "/") || ext == ".yaml" || ext == ".yml" {
		return true
	}
	if info, err := os.Stat(arg); err != nil || !info.Mode().IsRegular() {
		return false
	}
	names, err := labs()
	return err != nil || !slices.Contains(names, arg)
}
