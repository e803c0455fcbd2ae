package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/lab"
)

type pauseOptions struct {
	NoWait bool
	JSON   bool
}

// AddFlags adds the options to f.
func (o *pauseOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.NoWait, "no-wait", false, "fail when another nsnet is at work on the lab, do not wait for it")
	f.BoolVar(&o.JSON, "json", false, "print the result as JSON")
}

func newPause(std stdio) *cobra.Command {
	var o pauseOptions
	cmd := &cobra.Command{
		Use:     "pause LAB|NODE",
		GroupID: groupNode,
		Short:   "Stop the processes of a node or a lab for a while",
		Long: `Stop all processes of a node, or of every node of a lab, where they are, until
nsnet resume. They use no processor time; their memory, files and connections stay. The
node's network stack is the kernel's and goes on: it answers a ping and takes in what it
is sent. A command cannot be run in a paused node. Pausing it once more is no error.

A name without a slash is a lab's, or else that of a node which only one running lab has.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitUnsupported, exitBusy, exitNotRunning, exitSignal),
		Example: `  nsnet pause web
  nsnet pause demo`,
		Args:              exactArgs("LAB|NODE"),
		ValidArgsFunction: completeLabOrNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return interrupted(ctx, runPause(ctx, o, args[0], lab.Pause, std))
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

// pauseFunc is lab.Pause or lab.Resume.
type pauseFunc func(context.Context, lab.PauseOptions) (lab.PauseResult, error)

func runPause(ctx context.Context, o pauseOptions, ref string, do pauseFunc, std stdio) error {
	labName, node, err := labOrNode(ctx, ref)
	if err != nil {
		return err
	}
	res, err := do(ctx, lab.PauseOptions{Lab: labName, Node: node, NoWait: o.NoWait})
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(std.out, res)
	}
	return printText(std.out, pauseText(res, node))
}

// labOrNode is what "LAB", "LAB/NODE" or "NODE" means. The node is empty where a lab is meant.
func labOrNode(ctx context.Context, ref string) (labName, node string, err error) {
	if !strings.Contains(ref, "/") {
		names, err := lab.Names()
		if err != nil {
			return "", "", err
		}
		if slices.Contains(names, ref) {
			return ref, "", nil
		}
	}
	labName, node, err = lab.Find(ctx, ref)
	var e *lab.Error
	if errors.As(err, &e) && e.Lab == "" && e.Err == lab.ErrNotFound { //nolint:errorlint // and not that several labs have such a node
		err = fmt.Errorf("there is neither a lab nor a node %s; nsnet ps lists those there are%.0w", plain(ref), err)
	}
	return labName, node, err
}

// pauseText is the result in one line: "demo/web is paused", "demo is paused: 3 nodes".
func pauseText(r lab.PauseResult, node string) string {
	what, state := plain(r.Name), "paused"
	if r.State != lab.StatePaused {
		state = "resumed"
	}
	if node != "" {
		what += "/" + plain(node)
	}
	switch {
	case len(r.Nodes) == 0 && r.State != lab.StatePaused:
		return what + " is not paused, nothing to do\n"
	case node != "":
		return fmt.Sprintf("%s is %s\n", what, state)
	}
	return fmt.Sprintf("%s is %s: %s\n", what, state, count(len(r.Nodes), "node"))
}
