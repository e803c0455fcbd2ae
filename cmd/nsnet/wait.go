package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/lab"
)

type waitOptions struct {
	Exit    bool
	Timeout time.Duration
}

// AddFlags adds the options to f.
func (o *waitOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.Exit, "exit", false, "wait until the command has ended for good, and print its exit code")
	f.DurationVar(&o.Timeout, "timeout", 0, "fail when it takes longer, 1m30s for example")
}

func newWait(std stdio) *cobra.Command {
	var o waitOptions
	cmd := &cobra.Command{
		Use:     "wait LAB|NODE",
		GroupID: groupNode,
		Short:   "Wait until nodes are ready, or have ended",
		Long: `Wait until a node, or each node of a lab, is ready: its check has passed or, where it has
none, its command runs. It fails as soon as one cannot become so by itself.

With --exit it waits until the command has ended and is not started again, and prints its
exit code, 128+n after signal n; of a lab with the node's name before each.

A name without a slash is a lab's, or else that of a node which only one running lab has.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitNotRunning, exitNotReady, exitSignal),
		Example: `  nsnet wait demo --timeout 1m
  nsnet wait demo/setup --exit`,
		Args:              exactArgs("LAB|NODE"),
		ValidArgsFunction: completeLabOrNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Timeout < 0 {
				return usagef(cmd, "--timeout is a time above 0")
			}
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return interrupted(ctx, runWait(ctx, o, args[0], std))
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runWait(ctx context.Context, o waitOptions, ref string, std stdio) error {
	labName, node, err := labOrNode(ctx, ref)
	if err != nil {
		return err
	}
	if !o.Exit {
		return waitReady(ctx, labName, node, o.Timeout)
	}
	nodes, err := commandsOf(ctx, labName, node)
	if err != nil {
		return err
	}
	if err := lab.Wait(ctx, lab.WaitOptions{Lab: labName, Nodes: nodes, Ended: true, Timeout: o.Timeout}); err != nil {
		return err
	}
	s, err := lab.Inspect(ctx, labName)
	if err != nil {
		return err
	}
	return printText(std.out, exitText(*s, nodes, node == ""))
}

// waitReady waits until a node, or each of a lab, is ready. An error comes with the last lines of the
// node's log.
func waitReady(ctx context.Context, labName, node string, timeout time.Duration) error {
	o := lab.WaitOptions{Lab: labName, Timeout: timeout}
	if node != "" {
		o.Nodes = []string{node}
	}
	err := lab.Wait(ctx, o)
	var unready *lab.NotReadyError
	if asError(err, &unready) {
		return withLastLines(ctx, unready)
	}
	return err
}

// lastLines is how much of a node's log is shown where waiting for it has failed.
const lastLines = 10

// withLastLines adds to e what the command of the node that it names first has
// written last, if that is anything.
func withLastLines(ctx context.Context, e *lab.NotReadyError) error {
	var out strings.Builder
	node := e.Nodes[0].Node
	if err := lab.Logs(ctx, lab.LogsOptions{Lab: e.Lab, Node: node, Tail: lastLines, Out: &out}); err != nil || out.Len() == 0 {
		return e // an idle node has no log
	}
	return fmt.Errorf("%w\nwhat %s/%s has written last:\n  %s", e, e.Lab, node, strings.ReplaceAll(strings.TrimSpace(out.String()), "\n", "\n  "))
}

// commandsOf returns the node, or the nodes of a lab that have a command, which are what can end.
func commandsOf(ctx context.Context, labName, node string) ([]string, error) {
	s, err := lab.Inspect(ctx, labName)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range s.Nodes {
		if n.State != lab.StateIdle && (node == "" || n.Name == node) {
			names = append(names, n.Name)
		}
	}
	if len(names) == 0 {
		return nil, &lab.Error{Lab: labName, Node: node, Op: "wait", Err: lab.ErrNoCommandToRun}
	}
	return names, nil
}

// exitText is the exit codes of nodes, one a line, named or not.
func exitText(s lab.Status, nodes []string, named bool) string {
	var b strings.Builder
	for _, name := range nodes {
		code := "-"
		for _, n := range s.Nodes {
			if n.Name == name && n.ExitCode != nil {
				code = fmt.Sprint(*n.ExitCode)
			}
		}
		if named {
			b.WriteString(plain(name) + " ")
		}
		b.WriteString(code + "\n")
	}
	return b.String()
}
