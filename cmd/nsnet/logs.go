package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/lab"
)

type logsOptions struct {
	Follow     bool
	Tail       string
	Since      string
	Timestamps bool
}

// AddFlags adds the options to f.
func (o *logsOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVarP(&o.Follow, "follow", "f", false, "go on until the command ends")
	f.StringVarP(&o.Tail, "tail", "n", "all", "print the last `N` lines of each node alone")
	f.StringVar(&o.Since, "since", "", "print what was written since a `TIME`, such as 10m (ago), 15:04 or 2006-01-02T15:04:05Z")
	f.BoolVarP(&o.Timestamps, "timestamps", "t", false, "print before each line when it was written")
}

func newLogs(std stdio) *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:     "logs LAB|NODE",
		GroupID: groupNode,
		Short:   "Print what nodes' commands have written",
		Long: `Print what a node's command has written to its standard output and error, as it is; of a
lab what those of all nodes have, line by line in the order in which it was written, with
the node's name before each. On a terminal these lines keep their colours, and what else
it obeys is written as an escape. Of a long output, the last MiB at least is kept. That
processes of the node were killed for want of memory is said on standard error.

A name without a slash is a lab's, or else that of a node which only one running lab has.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitNotRunning, exitSignal),
		Example: `  nsnet logs web
  nsnet logs -f demo --tail 10
  nsnet logs demo/web --since 5m --timestamps`,
		Args:              exactArgs("LAB|NODE"),
		ValidArgsFunction: completeLabOrNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			l := lab.LogsOptions{Follow: o.Follow, Timestamps: o.Timestamps, Out: std.out, Terminal: isTerminal(std.out)}
			var err error
			if l.Tail, err = parseTail(o.Tail); err != nil {
				return usagef(cmd, "--tail %q %v", o.Tail, err)
			}
			if l.Since, err = parseSince(o.Since, time.Now()); err != nil {
				return usagef(cmd, "--since %q %v", o.Since, err)
			}
			return runLogs(cmd.Context(), l, args[0], std)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

// parseTail reads a number of lines; all is -1.
func parseTail(s string) (int, error) {
	if s == "all" {
		return -1, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, errors.New("is neither a number of lines nor all")
	}
	return n, nil
}

// parseSince reads a time: how long ago it was, a time of today, or one with its date, in the local
// time zone where none is given.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			year, month, day := now.Date()
			return time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), 0, now.Location()), nil
		}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("is no time: write how long ago, as 10m or 1h30m, a time of today, as 15:04, or 2006-01-02T15:04:05")
}

func runLogs(ctx context.Context, o lab.LogsOptions, ref string, std stdio) error {
	var err error
	if o.Lab, o.Node, err = labOrNode(ctx, ref); err != nil {
		return err
	}
	if err := lab.Logs(ctx, o); err != nil || o.Node == "" {
		return err
	}
	text, err := lab.EndedOutOfMemory(ctx, o.Lab, o.Node)
	return tellOOM(o.Lab, o.Node, text, err, std)
}

// tellOOM says on standard error what a node's limit of memory has cost it, if anything.
func tellOOM(labName, node, text string, err error, std stdio) error {
	if err == nil && text != "" {
		err = printText(std.err, fmt.Sprintf("nsnet: %s/%s: %s\n", plain(labName), plain(node), text))
	}
	return err
}
