package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/lab/early"
)

type execOptions struct {
	Interactive bool
	TTY         bool
	Env         []string
	Workdir     string
	User        string
	All         bool
}

// AddFlags adds the options to f.
func (o *execOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVarP(&o.Interactive, "interactive", "i", false, "give the command nsnet's standard input instead of an empty one")
	f.BoolVarP(&o.TTY, "tty", "t", false, "give the command a terminal of its own")
	// Not a StringSlice: a value may hold commas.
	f.StringArrayVarP(&o.Env, "env", "e", nil, "set the variable `K=V`; K alone takes the value it has here (repeatable)")
	f.StringVarP(&o.Workdir, "workdir", "w", "", "run the command in `DIR` of the node")
	f.StringVarP(&o.User, "user", "u", "", "run the command as `USER[:GROUP]` of the node, names or numbers")
	f.BoolVarP(&o.All, "all", "a", false, "run the command in each node of a LAB, which is named in place of NODE")
	// What follows the node is the command's, flags and all.
	f.SetInterspersed(false)
}

func newExec(std stdio) *cobra.Command {
	var o execOptions
	cmd := &cobra.Command{
		Use:     "exec [flags] NODE [--] CMD [ARG...]",
		GroupID: groupNode,
		Short:   "Run a command in a node",
		Long: `Run a command in a node and exit with its exit code. Flags come before the node's name.

What the command writes is passed on to nsnet's standard output and error. Its standard
input is empty unless -i is given. For a shell, give -it. SIGINT, SIGTERM, SIGHUP and
SIGQUIT are passed on to the command's process group.

With a pattern for NODE, or with --all and a lab, the command runs in several nodes side
by side, with the node's name before each line. The exit code is then that of the first
node, in the order of the file, where it was not 0.

EXIT STATUS
  The command's own, 128+n when signal n killed it, or else
  125    nsnet itself failed, be it for wrong flags, an unknown node or a lab that is down
  126    the command cannot be executed
  127    the command was not found`,
		Example: `  nsnet exec web -- ping -c 1 192.168.10.1
  nsnet exec -it demo/web -- bash
  nsnet exec -i -e LANG=C -w /tmp web -- tar x <files.tar
  nsnet exec 'demo/r*' -- ip route`,
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			node, argv := execArgs(args)
			switch {
			case node == "":
				return usagef(cmd, "NODE and CMD are missing")
			case len(argv) == 0:
				return usagef(cmd, "CMD is missing")
			case argv[0] == "":
				return usagef(cmd, "CMD is empty")
			case o.All && strings.Contains(node, "/"):
				return usagef(cmd, "--all is for a LAB, and %q names nodes of one: leave out --all, or what follows the lab", node)
			case o.isMany(node) && (o.Interactive || o.TTY):
				return usagef(cmd, "-i and -t are for a command in one node")
			case o.Workdir != "" && !strings.HasPrefix(o.Workdir, "/"):
				return usagef(cmd, "--workdir %q is not an absolute path", o.Workdir)
			}
			for _, e := range o.Env {
				if key, _, _ := strings.Cut(e, "="); key == "" {
					return usagef(cmd, "--env %q has no name", e)
				}
			}
			return nil
		},
		ValidArgsFunction: completeExec,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runExec(cmd.Context(), o, args, std)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

// execArgs splits NODE [--] CMD [ARG...].
func execArgs(args []string) (node string, argv []string) {
	if len(args) == 0 {
		return "", nil
	}
	node, argv = args[0], args[1:]
	if len(argv) > 0 && argv[0] == "--" {
		argv = argv[1:]
	}
	return node, argv
}

// execEnv completes the environment for the command: "K" alone takes the caller's value,
// and a terminal is of no use to a command that does not know which kind it is.
func execEnv(o execOptions, lookup func(string) (string, bool)) []string {
	var env []string
	if term, ok := lookup("TERM"); ok && o.TTY {
		env = append(env, "TERM="+term)
	}
	for _, e := range o.Env {
		if !strings.Contains(e, "=") {
			value, ok := lookup(e)
			if !ok {
				continue
			}
			e += "=" + value
		}
		env = append(env, e)
	}
	return env
}

// No signal is caught here: lab.Exec passes them on to the command.
func runExec(ctx context.Context, o execOptions, args []string, std stdio) error {
	if o.TTY && !isTerminal(std.in) {
		return &exitError{exitExec, errors.New("-t needs a terminal on standard input; leave it out in scripts and pipes")}
	}
	if r := early.Result(); r != nil {
		code, err := lab.ExecResult(r.Options, r.Code, r.Err)
		return endExec(ctx, r.Options, args, code, err, std)
	}
	ref, argv := execArgs(args)
	if o.isMany(ref) {
		return execMany(ctx, o, ref, argv, std)
	}
	labName, node, err := lab.Find(ctx, ref)
	if err != nil {
		return findError(ref, ", or all by --all", err)
	}
	e := lab.ExecOptions{
		Lab: labName, Node: node, Argv: argv,
		Env: execEnv(o, os.LookupEnv), Workdir: o.Workdir, User: o.User,
		TTY: o.TTY, Stdout: std.out, Stderr: std.err,
	}
	if o.Interactive {
		e.Stdin = std.in
	}
	code, err := lab.Exec(ctx, e)
	return endExec(ctx, e, args, code, err, std)
}

// endExec turns what has become of a command into nsnet's own end.
func endExec(ctx context.Context, o lab.ExecOptions, args []string, code int, err error, std stdio) error {
	if err == nil && code == 128+int(unix.SIGKILL) {
		var text string
		text, err = lab.OutOfMemory(ctx, o.Lab, o.Node)
		err = tellOOM(o.Lab, o.Node, text, err, std)
	}
	if code == exitNoCommand && err != nil {
		err = splitHint(err, args[0], o.Argv)
	}
	return execResult(code, err)
}

// findError adds what to write to the error of a name that is a lab's and no node's, and what else there is to do.
func findError(ref, more string, err error) error {
	names, namesErr := lab.Names()
	if namesErr != nil || !errors.Is(err, lab.ErrNotFound) || !slices.Contains(names, ref) {
		return err
	}
	return fmt.Errorf("%s is a lab: name one of its nodes, as %s/NODE (nsnet ps %s lists them)%s%.0w", plain(ref), plain(ref), plain(ref), more, err)
}

// splitHint adds what to write to the error of a command that was not found and is one argument
// with blanks in it: a command line in quotes.
func splitHint(err error, ref string, argv []string) error {
	words := strings.Fields(argv[0])
	if len(argv) != 1 || len(words) < 2 || strings.HasPrefix(argv[0], "/") {
		return err
	}
	return fmt.Errorf("%w; give the program and its arguments apart: nsnet exec %s -- %s", err, plain(ref), plain(strings.Join(words, " ")))
}

// execResult turns what lab.Exec returns into nsnet's own end.
func execResult(code int, err error) error {
	switch {
	case err == nil && code == 0:
		return nil
	case err == nil:
		return &exitError{code: code}
	case code == exitNotExecutable || code == exitNoCommand:
		return &exitError{code, err}
	}
	return &exitError{exitExec, err}
}
