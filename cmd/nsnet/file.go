package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

// fileOptions say how a topology file is read. The commands that read one share them.
type fileOptions struct {
	Name string
}

// AddFlags adds the options to f.
func (o *fileOptions) AddFlags(f *pflag.FlagSet) {
	f.Var((*labName)(&o.Name), "name", "use this `LAB` name instead of the file's")
}

// labName is the name of --name. An empty one, as of a shell's variable that is not set, would silently be the file's.
type labName string

func (n *labName) String() string { return string(*n) }

// Type implements pflag.Value.
func (n *labName) Type() string { return "string" }

// Set implements pflag.Value.
func (n *labName) Set(s string) error {
	if s == "" {
		return errors.New("it is empty; leave --name out for the file's name")
	}
	*n = labName(s)
	return nil
}

// stdinArg is the FILE that is standard input, and stdinName what messages call it.
const stdinArg, stdinName = "-", "<stdin>"

// load reads the file at path, or standard input, with every check, as what it says on any machine.
func (o fileOptions) load(ctx context.Context, path string, std stdio) (*topology.Lab, error) {
	return loadFile(ctx, path, std, o.options())
}

// loadHere reads the file at path, or standard input, with every check, as what it means on this host with its bridges.
func (o fileOptions) loadHere(ctx context.Context, path string, std stdio) (*topology.Lab, error) {
	all := o.options()
	all.HostBridge = lab.HostBridge
	return loadFile(ctx, path, std, all)
}

func (o fileOptions) options() topology.Options {
	return topology.Options{NameOverride: o.Name, CheckFiles: true}
}

func loadFile(ctx context.Context, path string, std stdio, o topology.Options) (*topology.Lab, error) {
	l, err := within(ctx, func() (*topology.Lab, error) {
		if path == stdinArg {
			return topology.Read(stdinName, std.in, o)
		}
		l, err := topology.Load(path, o)
		if errors.Is(err, fs.ErrNotExist) {
			if _, gone := absolute(path); gone != nil {
				return nil, gone
			}
		}
		return l, err
	})
	if err != nil {
		return nil, &fileError{err: err}
	}
	return l, nil
}

// within returns what read does, unless ctx ends first: whoever writes a pipe may never end, and the server of a file system may not answer.
func within(ctx context.Context, read func() (*topology.Lab, error)) (*topology.Lab, error) {
	type result struct {
		lab *topology.Lab
		err error
	}
	done := make(chan result, 1)
	go func() {
		l, err := read()
		done <- result{l, err}
	}()
	select {
	case r := <-done:
		return r.lab, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// shownFile returns what messages call FILE.
func shownFile(file string) string {
	if file == stdinArg {
		return stdinName
	}
	return file
}

// completeFile offers topology files.
func completeFile(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}
