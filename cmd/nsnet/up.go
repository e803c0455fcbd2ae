package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/consent"
	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

type upOptions struct {
	fileOptions
	consentOptions
	DryRun bool
	NoWait bool
	JSON   bool

	Replace bool

	StorageDriver string
	Wait          bool
	WaitTimeout   time.Duration
}

// AddFlags adds the options to f.
func (o *upOptions) AddFlags(f *pflag.FlagSet) {
	o.fileOptions.AddFlags(f)
	o.consentOptions.AddFlags(f)
	f.BoolVar(&o.DryRun, "dry-run", false, "print what would be done, change nothing")
	f.BoolVar(&o.NoWait, "no-wait", false, "fail when another nsnet is at work on the lab, do not wait for it")
	f.BoolVar(&o.Replace, "replace", false, "let FILE take over a lab that another file has made, and what its nodes keep")
	f.BoolVar(&o.Wait, "wait", false, "return when all nodes are ready, as their checks say")
	f.DurationVar(&o.WaitTimeout, "wait-timeout", 0, "with --wait, fail when that takes longer, 1m30s for example; the lab stays up")
	f.BoolVar(&o.JSON, "json", false, "print the result as JSON")
	f.StringVar(&o.StorageDriver, "storage-driver", "", "make every union with this `DRIVER`, whatever the file says: overlay, fuse or copy")
}

func newUp(std stdio) *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:     "up FILE",
		GroupID: groupLab,
		Short:   "Make a lab run",
		Long: `Make the lab that FILE describes run, and return when all of it is ready.

A lab that runs already becomes what FILE says, by as little as that takes: what was
changed in the file, and what was changed in the lab by hand or by accident. Nodes and
links that are as they should be notice nothing. "nsnet plan FILE" tells beforehand.
Images that are not in the store are fetched first, see "nsnet image --help".
FILE may be -, for standard input; relative paths then begin here.

What a file asks for beyond its own nodes and its own directory, such as privileged: true
or a bind of /run, is told, and refused unless it is allowed: by --allow and its kind, or
by --trust. It is then kept for this file, until that asks for something else.

When up fails or is interrupted, a new lab is removed again; of a lab that ran, what was
changed stays, and the same command finishes the work.

With --wait it returns when all nodes are ready, or fails with the node that cannot
become so, its check and what that said last; the lab then stays up.

` + exitStatus(exitOK, exitFailure, exitUsage, exitFile, exitNotFound, exitConflict, exitPermission, exitUnsupported, exitBusy, exitNotReady, exitConsent, exitNotExecutable, exitNoCommand, exitSignal),
		Example: `  nsnet up demo.yaml
  nsnet up demo.yaml --name demo-2
  nsnet up demo.yaml --wait --wait-timeout 1m
  nsnet up demo.yaml --allow caps,paths
  nsnet up demo.yaml --dry-run`,
		Args:              exactArgs("FILE"),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.WaitTimeout < 0 || o.WaitTimeout > 0 && !o.Wait {
				return usagef(cmd, "--wait-timeout is a time above 0, and needs --wait")
			}
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			if o.StorageDriver != "" {
				if err := topology.ValidateStorage(o.StorageDriver); err != nil {
					return usagef(cmd, "--storage-driver %q %v", o.StorageDriver, err)
				}
			}
			return runUp(ctx, o, args[0], std)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

// gcPercent lets up collect garbage less often than usual: it lives for a moment, of which collecting that of a large lab took a tenth.
const gcPercent = 400

func runUp(ctx context.Context, o upOptions, file string, std stdio) error {
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	}
	l, err := o.loadHere(ctx, file, std)
	if err != nil {
		return err
	}
	if o.DryRun {
		if o.StorageDriver != "" {
			l.UseStorage(o.StorageDriver)
		}
		_, err := printPlan(ctx, l, o.given(), o.Replace, o.JSON, std)
		return interrupted(ctx, err)
	}
	if err := checkRoot(); err != nil {
		return err
	}
	p := newProgress(std.err, "up "+l.Name, labSize(l))
	res, err := lab.Up(ctx, lab.UpOptions{Lab: l, Allow: o.given(), NoWait: o.NoWait, Replace: o.Replace, Progress: p.Step, StorageDriver: o.StorageDriver,
		Asks: func(v consent.Verdict) { p.Tell(asksText(v.Answers)) }})
	if err == nil && o.Wait {
		start := time.Now()
		p.Step(lab.Step{Name: "wait until all nodes are ready"})
		err = waitReady(ctx, l.Name, "", o.WaitTimeout)
		res.Elapsed += time.Since(start)
	}
	p.Done()
	if err != nil {
		return interrupted(ctx, err)
	}
	if o.JSON {
		return printJSON(std.out, res)
	}
	for _, note := range res.Notes {
		say(std.err, "nsnet: note: %s\n", plain(note))
	}
	return printText(std.out, upText(res))
}

// upText is up's result: in one line, of a lab that ran after what was changed.
func upText(r lab.UpResult) string {
	if !r.Changed {
		return plain(r.Name) + " is up already, nothing to do\n"
	}
	if !r.New {
		changes := count(len(r.Actions), "change")
		return planText(r.Name, r.Actions) + fmt.Sprintf("%s is up to date: %s in %s\n", plain(r.Name), changes, elapsedText(r.Elapsed))
	}
	return fmt.Sprintf("%s is up: %s in %s\n", plain(r.Name), sizeText(r.Nodes, r.Bridges, r.Links), elapsedText(r.Elapsed))
}
