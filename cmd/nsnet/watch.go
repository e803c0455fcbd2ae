package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/consent"
	"github.com/nsnet/nsnet/internal/filewatch"
	"github.com/nsnet/nsnet/lab"
)

type watchOptions struct {
	fileOptions
	consentOptions
	Mend time.Duration
	JSON bool
}

// AddFlags adds the options to f.
func (o *watchOptions) AddFlags(f *pflag.FlagSet) {
	o.fileOptions.AddFlags(f)
	o.consentOptions.AddFlags(f)
	f.DurationVar(&o.Mend, "mend", 0, "also look at the lab this often, 10s for example, and mend what was changed in it")
	f.BoolVar(&o.JSON, "json", false, "print each result as JSON, one a line")
}

func newWatch(std stdio) *cobra.Command {
	var o watchOptions
	cmd := &cobra.Command{
		Use:     "watch FILE",
		GroupID: groupLab,
		Short:   "Keep a lab equal to its file while that is edited",
		Long: `Make the lab that FILE describes run, as "nsnet up" does, and do so again whenever FILE is
saved or what it binds is replaced, until Ctrl-C. A file with a mistake changes nothing
and is reported; so is one that asks for more than was allowed when watch began or by
"nsnet up". Of a change that fails on the way is told what is made and what is not. The
lab stays up when watch ends.

` + exitStatus(exitOK, exitFailure, exitUsage, exitPermission, exitSignal),
		Example: `  nsnet watch demo.yaml
  nsnet watch demo.yaml --mend 10s`,
		Args:              exactArgs("FILE"),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == stdinArg {
				return usagef(cmd, "FILE is standard input, which is read once and cannot be watched")
			}
			if o.Mend < 0 {
				return usagef(cmd, "--mend is a time above 0")
			}
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return runWatch(ctx, o, args[0], std)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runWatch(ctx context.Context, o watchOptions, file string, std stdio) error {
	path, err := absolute(file)
	if err != nil {
		return err
	}
	w := watcher{o: o, file: file, std: std, stop: func() {}}
	var mend <-chan time.Time
	if o.Mend > 0 {
		t := time.NewTicker(o.Mend)
		defer t.Stop()
		mend = t.C
	}
	changes := filewatch.Watch(ctx, path)
	defer func() { w.stop() }()
	told := "" // the last error; the same one at each tick says nothing new
	for {
		tick := false
		select {
		case <-ctx.Done():
			return interrupted(ctx, context.Cause(ctx))
		case <-mend:
			tick = true
			err = w.apply(ctx, false)
		case <-changes:
			err = w.apply(ctx, true)
		case <-w.replaced:
			err = w.apply(ctx, false)
		}
		if ctx.Err() != nil {
			return interrupted(ctx, context.Cause(ctx))
		}
		if errors.Is(err, lab.ErrPermission) {
			return err
		}
		if err == nil {
			told = ""
		} else if text := errorText(err); !tick || text != told {
			told = text
			sayError(std.err, "nsnet: ", err)
			say(std.err, "nsnet: %s; watching %s\n", w.left, plain(file))
		}
	}
}

// watcher makes a lab what its file says, again and again.
type watcher struct {
	o     watchOptions
	file  string
	std   stdio
	name  string // of the lab, once it is known
	left  string // how a look that failed has left the lab
	asked string // what was told that the file asks for

	sources  []string        // files and directories of the host that nodes have
	replaced <-chan struct{} // one of them may have been replaced
	stop     func()          // ends the watch of them
}

// follow watches what nodes have of the host's files, too.
func (w *watcher) follow(ctx context.Context, sources []string) {
	if slices.Equal(sources, w.sources) {
		return
	}
	w.stop()
	w.sources, w.replaced, w.stop = sources, nil, func() {}
	if len(sources) > 0 {
		ctx, w.stop = context.WithCancel(ctx)
		w.replaced = filewatch.Watch(ctx, sources...)
	}
}

// tellAsks tells what the file asks for, unless that is what was told last.
func (w *watcher) tellAsks(v consent.Verdict) {
	if text := asksText(v.Answers); text != w.asked {
		w.asked = text
		say(w.std.err, "%s", text)
	}
}

// apply does so once. What there is to say about a look that found nothing is not said unless asked for.
func (w *watcher) apply(ctx context.Context, tell bool) error {
	w.left = "the lab is left as it is"
	// What was allowed when watch began was meant for the file as it was then, and not for what an edit asks for, also where that
	// file had a mistake.
	given := w.o.given()
	w.o.consentOptions = consentOptions{}
	l, err := w.o.loadHere(ctx, w.file, w.std)
	if err != nil {
		return err
	}
	if w.name == "" {
		w.name = l.Name
	} else if w.name != l.Name {
		return fmt.Errorf("the file's lab is called %s now, and %s when watch began: end watch to take that one down, or name the lab with --name", plain(l.Name), plain(w.name))
	}
	w.follow(ctx, lab.Sources(l))
	res, err := lab.Up(ctx, lab.UpOptions{Lab: l, Allow: given, Asks: w.tellAsks})
	switch {
	case err != nil && res.Partly:
		w.left = "the lab is changed in part"
	case err != nil && res.New:
		w.left = "the lab is not up"
	}
	if err != nil {
		return err
	}
	if !res.Changed && !tell {
		return nil
	}
	if w.o.JSON {
		return printJSONLine(w.std.out, res)
	}
	for _, note := range res.Notes {
		say(w.std.err, "nsnet: note: %s\n", plain(note))
	}
	return printText(w.std.out, upText(res))
}
