package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/topology"
)

// fileOptions say how a topology file is read. The commands that read one share them.
type fileOptions struct {
	Name           string
	AllowHostPaths bool
}

// AddFlags adds the options to f.
func (o *fileOptions) AddFlags(f *pflag.FlagSet) {
	f.StringVar(&o.Name, "name", "", "use this `LAB` name instead of the file's")
	f.BoolVar(&o.AllowHostPaths, "allow-host-paths", false, "let binds and images use any path of the host, such as / and /proc")
}

// load reads the file at path with every check.
func (o fileOptions) load(path string) (*topology.Lab, error) {
	return loadFile(path, topology.Options{NameOverride: o.Name, AllowHostPaths: o.AllowHostPaths, CheckFiles: true})
}

func loadFile(path string, o topology.Options) (*topology.Lab, error) {
	l, err := topology.Load(path, o)
	if err != nil {
		return nil, &fileError{err: err}
	}
	return l, nil
}

// completeFile offers topology files.
func completeFile(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}
