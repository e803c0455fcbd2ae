package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsnet/nsnet/lab"
)

// completionTimeout bounds what a press of the tab key may take.
const completionTimeout = time.Second

// completeLab offers the labs of this host as the one argument.
func completeLab(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return withPrefix(labNames(), prefix), cobra.ShellCompDirectiveNoFileComp
}

// completeLabOrFile offers labs, and topology files where no lab fits.
func completeLabOrFile(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	labs, directive := completeLab(cmd, args, prefix)
	if len(args) == 0 && len(labs) == 0 {
		return completeFile(cmd, args, prefix)
	}
	return labs, directive
}

// completeNode offers the nodes of the running labs as the one argument.
func completeNode(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return withPrefix(nodeRefs(statuses(cmd.Context())), prefix), cobra.ShellCompDirectiveNoFileComp
}

// completeLabOrNode offers labs and nodes as the one argument.
func completeLabOrNode(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all := slices.Concat(labNames(), nodeRefs(statuses(cmd.Context())))
	slices.Sort(all)
	return withPrefix(slices.Compact(all), prefix), cobra.ShellCompDirectiveNoFileComp
}

// completeExec offers nodes, and then leaves the command to the shell.
func completeExec(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return completeNode(cmd, args, prefix)
}

// labNames is the labs of this host. Completion has nowhere to report an error to.
func labNames() []string {
	names, err := lab.Names()
	if err != nil {
		return nil
	}
	return names
}

// statuses is the labs of this host as far as they can be inspected in time.
func statuses(ctx context.Context) []lab.Status {
	if ctx == nil { // cobra gives none when the completion function is called on its own
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	labs, err := inspectAll(ctx, labNames(), lab.Inspect)
	if err != nil {
		return labs
	}
	return labs
}

// nodeRefs is every way to name a node, sorted: LAB/NODE, and NODE where one running lab
// alone has it.
func nodeRefs(labs []lab.Status) []string {
	owners := map[string]int{}
	var refs []string
	for _, l := range labs {
		for _, n := range l.Nodes {
			refs = append(refs, l.Name+"/"+n.Name)
			if l.State == lab.StateRunning {
				owners[n.Name]++
			}
		}
	}
	for name, n := range owners {
		if n == 1 {
			refs = append(refs, name)
		}
	}
	slices.Sort(refs)
	return refs
}

// withPrefix keeps the words that begin with prefix.
func withPrefix(words []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !strings.HasPrefix(w, prefix) })
}

// completeTargets completes the flags that name a container, as far as its names can be known.
func completeTargets(cmd *cobra.Command, prefix string) {
	for flag, complete := range map[string]cobra.CompletionFunc{
		prefix + "node":      completeNode,
		prefix + "pid":       cobra.NoFileCompletions,
		prefix + "container": cobra.NoFileCompletions,
	} {
		if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
			continue // it has one already
		}
	}
}
