package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/attach"
	"github.com/nsnet/nsnet/internal/printable"
	"github.com/nsnet/nsnet/lab"
)

// commandWidth is how much of a command ps shows; inspect shows all of it.
const commandWidth = 60

type psOptions struct {
	Quiet bool
	JSON  bool
}

// AddFlags adds the options to f.
func (o *psOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print only the nodes' names, as LAB/NODE")
	f.BoolVar(&o.JSON, "json", false, "print all that is known as JSON: labs, and what is attached")
}

func newPS(std stdio) *cobra.Command {
	var o psOptions
	cmd := &cobra.Command{
		Use:     "ps [LAB[/PATTERN]]",
		GroupID: groupLab,
		Short:   "List labs, their nodes, and attached interfaces",
		Long: `List the nodes of all labs, or of one, and interfaces that nsnet attach has made. LAB/NODE
lists one node alone, and LAB/PATTERN those that it fits: * and ? and [a-z]. A node is

  running        its command runs
  idle           it has no command
  waiting        its command waits for nodes that it depends on
  exited(N)      its command has ended with code N; the node's links and addresses stay
  restarting(N)  the same, and it is started again; inspect tells when
  stopped        nsnet stop has ended its command
  paused         nsnet pause has stopped its processes
  dead           its processes are gone; of a lab that is dead as a whole, nsnet removes
                 what it left as soon as it has shown it
  not answering  the lab's init has not said how its nodes are, perhaps as it was stopped

A node with a check is ready, unhealthy, or waiting until it is ready: running(ready).

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitPermission),
		Example: `  nsnet ps
  nsnet ps demo --json
  nsnet ps 'demo/r*'
  nsnet ps -q demo`,
		Args:              maxArgs(1),
		ValidArgsFunction: completeLabOrNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Quiet && o.JSON {
				return usagef(cmd, "--quiet and --json exclude each other")
			}
			var only selector
			if len(args) == 1 {
				var err error
				if only, err = parseSelector(args[0]); err != nil {
					return usagef(cmd, "%v", err)
				}
			}
			return runPS(cmd.Context(), o, only, std)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

// psResult is what ps prints as JSON.
type psResult struct {
	Labs     []lab.Status    `json:"labs"`
	Attached []attach.Status `json:"attached"` // of the nodes alone that were named
}

// runPS lists what only names, all where that is empty.
func runPS(ctx context.Context, o psOptions, only selector, std stdio) error {
	var res psResult
	var err error
	if only.lab != "" {
		s, inspectErr := lab.Inspect(ctx, only.lab)
		if inspectErr == nil {
			inspectErr = onlyNodes(s, only)
		}
		if inspectErr != nil {
			return inspectErr
		}
		res.Labs = []lab.Status{*s}
	} else {
		names, namesErr := lab.Names()
		if namesErr != nil {
			return namesErr
		}
		res.Labs, err = inspectAll(ctx, names, lab.Inspect)
	}
	if o.Quiet {
		return errors.Join(err, printText(std.out, psNames(res.Labs)))
	}
	all, listErr := attach.List(ctx)
	err = errors.Join(err, listErr)
	res.Attached = all
	if only.lab != "" {
		res.Attached = ofNodes(all, only)
	}
	withAttached(res.Labs, all)
	if o.JSON {
		return errors.Join(err, printJSON(std.out, res))
	}
	color := canColor(std.out, os.Getenv("TERM"), os.Getenv("NO_COLOR"))
	text := psTable(res.Labs, color, tableWidth(std.out)) + driftText(res.Labs)
	if len(res.Attached) > 0 {
		text += "\n" + attachedTable(res.Attached, color, tableWidth(std.out))
	}
	return errors.Join(err, printText(std.out, text))
}

// onlyNodes leaves out of a lab's status the nodes that are not meant. It is an error when none is.
func onlyNodes(s *lab.Status, only selector) error {
	if only.pattern == "" {
		return nil
	}
	s.Nodes = slices.DeleteFunc(s.Nodes, func(n lab.NodeStatus) bool { return !only.matches(s.Name, n.Name) })
	if len(s.Nodes) == 0 {
		return &lab.Error{Lab: s.Name, Node: only.pattern, Err: lab.ErrNotFound, Remedy: "nsnet ps " + s.Name + " lists the nodes there are"}
	}
	return nil
}

// askedAtOnce is how many labs are asked side by side. One whose init was stopped takes a second.
const askedAtOnce = 32

// inspectAll inspects the named labs. A lab that is gone by now is left out; one that
// cannot be inspected does not hide the others.
func inspectAll(ctx context.Context, names []string, inspect func(context.Context, string) (*lab.Status, error)) ([]lab.Status, error) {
	type answer struct {
		status *lab.Status
		err    error
	}
	answers := make([]answer, len(names))
	var asking sync.WaitGroup
	places := make(chan struct{}, askedAtOnce)
	for i, name := range names {
		asking.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			answers[i].status, answers[i].err = inspect(ctx, name)
		})
	}
	asking.Wait()
	labs, failures := []lab.Status{}, []error{}
	for _, a := range answers {
		switch {
		case a.err == nil:
			labs = append(labs, *a.status)
		case !errors.Is(a.err, lab.ErrNotFound):
			failures = append(failures, a.err)
		}
	}
	return labs, errors.Join(failures...)
}

// psTable is the table of ps: a row for each node, and one for a lab without nodes.
func psTable(labs []lab.Status, color bool, width int) string {
	rows := [][]string{{"LAB", "NODE", "STATE", "PID", "IMAGE", "ADDRESSES", "COMMAND"}}
	for _, l := range labs {
		if len(l.Nodes) == 0 {
			rows = append(rows, []string{plain(l.Name), "-", plain(l.State), "-", "-", "-", "-"})
		}
		for _, n := range l.Nodes {
			rows = append(rows, []string{
				plain(l.Name), plain(n.Name), stateText(n), pidText(n.PID), orDash(plain(n.Image)),
				orDash(addressesText(n.Interfaces)), orDash(shorten(printable.Command(n.Command), commandWidth)),
			})
		}
	}
	return table(fit(rows, width, columns{lists: []int{5}, texts: []int{6, 4}}), func(column int, text string) string {
		if column == 2 && color {
			return colorState(text)
		}
		return text
	})
}

// driftText says which labs do not answer, and which are not what their files say.
func driftText(labs []lab.Status) string {
	var b strings.Builder
	for _, l := range labs {
		if l.State == lab.StateNotAnswering {
			fmt.Fprintf(&b, "\n%s\n", plain(l.Reason))
		}
		if len(l.Drift) > 0 {
			a, mends := l.Drift[0], "mends it"
			if i := slices.IndexFunc(l.Drift, func(a lab.Action) bool { return a.Until != "" }); i >= 0 {
				mends = "fails until " + plain(l.Drift[i].Until)
			}
			fmt.Fprintf(&b, "\n%s differs from its file: %s, the first is %s %s; nsnet plan tells more, nsnet up %s\n", plain(l.Name), count(len(l.Drift), "change"), plain(a.Kind), plain(a.Name), mends)
		}
		for _, note := range l.Notes {
			fmt.Fprintf(&b, "\n%s: %s\n", plain(l.Name), plain(note))
		}
	}
	return b.String()
}

// psNames is the nodes' names, one a line.
func psNames(labs []lab.Status) string {
	var b strings.Builder
	for _, l := range labs {
		for _, n := range l.Nodes {
			fmt.Fprintf(&b, "%s/%s\n", plain(l.Name), plain(n.Name))
		}
	}
	return b.String()
}

// stateText is a node's state: "running", "running(ready)", "exited(1)", "exited(0,ready)", "exited(137,oom)", "dead (signal 9)", "dead (signal 9, oom)".
func stateText(n lab.NodeStatus) string {
	var more []string
	switch n.State {
	case lab.StateRunning, lab.StateIdle:
		if n.Ready != "" {
			more = append(more, n.Ready)
		}
	case lab.StateExited, lab.StateRestarting:
		if n.ExitCode != nil {
			more = append(more, strconv.Itoa(*n.ExitCode))
		}
		if n.Ready != "" && n.ExitCode != nil && *n.ExitCode == 0 { // it has left a daemon
			more = append(more, n.Ready)
		}
		if n.OOMKilled {
			more = append(more, "oom")
		}
	case lab.StateDead:
		if n.Signal != "" && n.ExitCode != nil {
			if n.OOMKilled {
				return fmt.Sprintf("dead (signal %d, oom)", *n.ExitCode-128)
			}
			return fmt.Sprintf("dead (signal %d)", *n.ExitCode-128)
		}
	}
	if len(more) > 0 {
		return plain(n.State + "(" + strings.Join(more, ",") + ")")
	}
	return plain(n.State)
}

// colorState gives a state the colour of how much it deserves attention.
func colorState(state string) string {
	var code string
	switch {
	case strings.Contains(state, "(waiting"):
		return state
	case strings.Contains(state, "(unhealthy"):
		code = "33"
	case strings.HasPrefix(state, lab.StateRunning), state == "idle(ready)":
		code = "32"
	case strings.HasPrefix(state, lab.StateDead), state == lab.StateNotAnswering, state == lab.StateNotMade:
		code = "31"
	case strings.HasPrefix(state, lab.StateExited), strings.HasPrefix(state, lab.StateRestarting):
		code = "33"
	default:
		return state
	}
	return "\x1b[" + code + "m" + state + "\x1b[0m"
}

func pidText(pid int) string {
	if pid == 0 {
		return "-"
	}
	return strconv.Itoa(pid)
}

// addressesText is the addresses of all interfaces, the file's and others, without spaces.
func addressesText(interfaces []lab.InterfaceStatus) string {
	var all []string
	for _, i := range interfaces {
		all = append(all, i.Addresses...)
		all = append(all, i.Learned...)
	}
	return plain(strings.Join(all, ","))
}
