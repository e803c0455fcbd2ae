package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type versionOptions struct {
	JSON bool
}

// AddFlags adds the options to f.
func (o *versionOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.JSON, "json", false, "print it as JSON")
}

// versionInfo is what version --json prints.
type versionInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"` // of the source; "+" when it was changed since
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func newVersion(std stdio) *cobra.Command {
	var o versionOptions
	cmd := &cobra.Command{
		Use:     "version",
		GroupID: groupTool,
		Short:   "Print the version",
		Long: `Print nsnet's version, the commit it was built from, and what it was built with and for.

` + exitStatus(exitOK, exitFailure, exitUsage),
		Example:           "  nsnet version --json",
		Args:              maxArgs(0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			return runVersion(o, std)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runVersion(o versionOptions, std stdio) error {
	build, _ := debug.ReadBuildInfo()
	v := versionOf(version, build)
	if o.JSON {
		return printJSON(std.out, v)
	}
	return printText(std.out, versionText(v))
}

// versionOf takes the linker's version, or else what go build has recorded of the module
// and its version control. build may be nil.
func versionOf(linked string, build *debug.BuildInfo) versionInfo {
	v := versionInfo{Version: linked, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if build != nil {
		if v.Version == "" && build.Main.Version != "(devel)" {
			v.Version = build.Main.Version
		}
		modified := ""
		for _, s := range build.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value[:min(len(s.Value), 12)]
			case "vcs.modified":
				if s.Value == "true" {
					modified = "+"
				}
			}
		}
		if v.Commit != "" {
			v.Commit += modified
		}
	}
	if v.Version == "" {
		v.Version = "devel"
	}
	return v
}

// versionText is the version in one line.
func versionText(v versionInfo) string {
	s := "nsnet " + v.Version
	if v.Commit != "" {
		s += " commit " + v.Commit
	}
	return s + " " + v.Go + " " + v.OS + "/" + v.Arch + "\n"
}
