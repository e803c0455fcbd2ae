package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/internal/waiting"
)

// stdio is a command's three standard streams. They are files because exec hands them
// to the command as they are, and because only a file can be asked whether it is a terminal.
type stdio struct {
	in, out, err *os.File
}

// Groups of commands in the root command's help.
const (
	groupLab   = "lab"
	groupNode  = "node"
	groupFile  = "file"
	groupImage = "image"
	groupTool  = "tool"
)

// run executes one command line and returns the process's exit code.
func run(ctx context.Context, args []string, std stdio) int {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	ctx = waiting.With(ctx, func(text string) {
		wipe := ""
		if canRewrite(std.err, os.Getenv("TERM")) {
			wipe = "\r\x1b[K" // of progress
		}
		say(std.err, "%snsnet: %s\n", wipe, plain(text))
	})
	root := newRootOf(std, name)
	root.SetArgs(args)
	help := &remembering{w: std.out}
	root.SetOut(help)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil && help.err != nil {
		err = fmt.Errorf("write result: %w", help.err)
	}
	reportError(std.err, err)
	return commandExitCode(cmd.Name(), err)
}

// remembering remembers the first failure to write: cobra, which writes help, does not look for one.
type remembering struct {
	w   io.Writer
	err error
}

func (r *remembering) Write(b []byte) (int, error) {
	n, err := r.w.Write(b)
	if r.err == nil {
		r.err = err
	}
	return n, err
}

// commands are nsnet's, by their names.
func commands() map[string]func(stdio) *cobra.Command {
	return map[string]func(stdio) *cobra.Command{
		"attach":     newAttach,
		"commit":     newCommit,
		"completion": newCompletion,
		"consent":    newConsent,
		"cp":         newCp,
		"detach":     newDetach,
		"diff":       newDiff,
		"doctor":     newDoctor,
		"down":       newDown,
		"exec":       newExec,
		"gc":         newGC,
		"image":      newImage,
		"inspect":    newInspect,
		"kill":       newKill,
		"logs":       newLogs,
		"pause":      newPause,
		"plan":       newPlan,
		"ps":         newPS,
		"restart":    newRestart,
		"resume":     newResume,
		"schema":     newSchema,
		"start":      newStart,
		"stats":      newStats,
		"stop":       newStop,
		"up":         newUp,
		"update":     newUpdate,
		"validate":   newValidate,
		"version":    newVersion,
		"wait":       newWait,
		"watch":      newWatch,
	}
}

// newRoot is nsnet with all its commands.
func newRoot(std stdio) *cobra.Command { return newRootOf(std, "") }

// newRootOf is nsnet with the command of a name, or with all where none has it: to make all of them and to run one takes
// longer than what exec does.
func newRootOf(std stdio, name string) *cobra.Command {
	var showVersion bool
	root := &cobra.Command{
		Use:   "nsnet",
		Short: "Network labs from a topology file",
		Long: `nsnet turns a topology file into a running network lab: full containers wired by
bridges and point-to-point links, with addresses, routes, NAT and resolv.conf.

A node is named LAB/NODE, or NODE where only one running lab has it.

` + exitStatus(exitCodes()...),
		Example: `  nsnet up demo.yaml
  nsnet exec web -- ping -c 1 a
  nsnet attach --container db --bridge demo/lan0 --ip auto
  nsnet down demo`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showVersion {
				return runVersion(versionOptions{}, std)
			}
			return cmd.Help()
		},
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.Flags().BoolVar(&showVersion, "version", false, "print the version")
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: groupLab, Title: "Labs:"},
		&cobra.Group{ID: groupNode, Title: "Nodes:"},
		&cobra.Group{ID: groupFile, Title: "Topology files:"},
		&cobra.Group{ID: groupImage, Title: "Images:"},
		&cobra.Group{ID: groupTool, Title: "nsnet itself:"},
	)
	all := commands()
	if create, ok := all[name]; ok {
		root.AddCommand(create(std))
	} else {
		for _, create := range all {
			root.AddCommand(create(std)) // cobra sorts them
		}
	}
	sweepLabs(root, std)
	tellRoot(root, os.Geteuid())
	root.SetHelpCommand(newHelp())
	return root
}

// flagError turns what pflag says about a wrong flag into a usage error with a suggestion.
func flagError(cmd *cobra.Command, err error) error {
	if !cmd.HasParent() && cmd.Flags().NArg() > 0 {
		// `nsnet pus --json`: the command is what is wrong, its flags cannot be known.
		return unknownCommand(cmd, cmd.Flags().Arg(0))
	}
	var invalid *pflag.InvalidValueError
	if asError(err, &invalid) && invalid.GetFlag().Value.Type() == "duration" {
		return usagef(cmd, "invalid argument %q for --%s: a time has a unit, as 5s or 1m30s", invalid.GetValue(), invalid.GetFlag().Name)
	}
	var missing *pflag.NotExistError
	if asError(err, &missing) {
		name := missing.GetSpecifiedName()
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if s := nearest(name, known); len(name) > 1 && s != "" {
			return usagef(cmd, "%v (did you mean --%s?)", err, s)
		}
	}
	return usagef(cmd, "%v", err)
}

func unknownCommand(root *cobra.Command, name string) error {
	if own, ok := otherNames()[name]; ok {
		return usagef(root, "unknown command %q (nsnet %s does that)", name, own)
	}
	var known []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	if s := nearest(name, known); s != "" {
		return usagef(root, "unknown command %q (did you mean %s?)", name, s)
	}
	return usagef(root, "unknown command %q", name)
}

// otherNames returns what other tools call the commands of nsnet, each with the command here.
func otherNames() map[string]string {
	return map[string]string{
		"deploy": "up", "create": "up", "apply": "up", "run": "up", "lstart": "up", "redeploy": "up",
		"destroy": "down", "delete": "down", "rm": "down", "remove": "down", "lclean": "down", "wipe": "down",
		"list": "ps", "ls": "ps", "status": "ps", "info": "ps", "linfo": "ps", "show": "inspect",
		"shell": "exec -it", "sh": "exec -it", "bash": "exec -it", "connect": "exec -it", "enter": "exec -it", "ssh": "exec -it",
		"unpause": "resume", "unfreeze": "resume", "freeze": "pause",
		"top": "stats", "log": "logs", "check": "validate", "lint": "validate",
		"pull": "image pull", "images": "image ls", "import": "image import", "rmi": "image rm",
		"prune": "gc", "cleanup": "gc", "clean": "gc",
	}
}

// exactArgs refuses any other arguments than the named ones, in words.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef(cmd, "%s is missing", strings.Join(names[len(args):], " "))
		case len(args) > len(names):
			return usagef(cmd, "unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

// maxArgs refuses more than n arguments.
func maxArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usagef(cmd, "unexpected argument %q", args[n])
		}
		return nil
	}
}

// usagef makes a usage error that points to the command's help.
func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{msg: fmt.Sprintf(format, args...), command: cmd.CommandPath()}
}
