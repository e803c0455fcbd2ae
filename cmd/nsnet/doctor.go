package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/doctor"
	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

type doctorOptions struct {
	fileOptions
	All  bool
	JSON bool
}

// AddFlags adds the options to f.
func (o *doctorOptions) AddFlags(f *pflag.FlagSet) {
	o.fileOptions.AddFlags(f)
	f.BoolVarP(&o.All, "all", "a", false, "print what is well, too")
	f.BoolVar(&o.JSON, "json", false, "print all findings as JSON")
}

func newDoctor(std stdio) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:     "doctor [FILE]",
		GroupID: groupTool,
		Short:   "Check this machine, and what a file's nodes run",
		Long: `Check this machine for what labs would stumble over, and say what to do about it. A small
lab is brought up and taken down; features of the kernel are tried. Nothing is changed.

A problem keeps labs from working. A note is about something that not everybody needs.

With a topology file, the commands of its nodes are looked at, too, for programs that
are known to need more than their node has: FRR's zebra without the capability SYS_ADMIN,
ptp4l without -S, openvpn without tun.

` + exitStatus(exitOK, exitFailure, exitUsage, exitFile),
		Example: `  nsnet doctor
  nsnet doctor --all
  nsnet doctor routers.yaml`,
		Args:              maxArgs(1),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return interrupted(ctx, runDoctor(ctx, o, args, std))
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

// runDoctor looks at the machine and, if there is one, at a file.
func runDoctor(ctx context.Context, o doctorOptions, files []string, std stdio) error {
	var nodes []doctor.Finding
	for _, f := range files {
		l, err := o.load(ctx, f, std)
		if err != nil {
			return err
		}
		nodes = append(nodes, doctor.ExamineNodes(l)...)
	}
	all := doctor.Examine(ctx, doctor.Machine{UID: os.Geteuid(), Lab: trialLab, Cgroups: controlGroups, Firewall: firewallNeeds})
	all = append(all, nodes...)
	problems := 0
	for _, f := range all {
		if f.Status == doctor.Problem {
			problems++
		}
	}
	var err error
	if o.JSON {
		err = printJSON(std.out, all)
	} else {
		err = printText(std.out, doctorText(all, o.All))
	}
	if err == nil && problems > 0 {
		err = &exitError{code: exitFailure}
	}
	return err
}

// trialLab brings a lab of one idle node up, and down again.
func trialLab(ctx context.Context) error {
	name := fmt.Sprintf("nsnet-doctor-%d", os.Getpid())
	l, err := topology.Parse("/doctor", []byte("nodes: {node: {}}\n"), topology.Options{NameOverride: name})
	if err != nil {
		return err
	}
	if _, err := lab.Up(ctx, lab.UpOptions{Lab: l}); err != nil {
		return err
	}
	_, err = lab.Down(context.WithoutCancel(ctx), lab.DownOptions{Name: name})
	return err
}

func controlGroups() (cgroups.Version, []string, error) {
	h, err := cgroups.Probe()
	if err != nil {
		return cgroups.None, nil, err
	}
	return h.Version, h.Controllers(), nil
}

// firewallNeeds is what up would do for a leg of a bridge with nat. Nothing is changed.
func firewallNeeds() (int, []string, error) {
	rules, notes, err := bridge.PlanAccept("doctor", []string{bridge.LegName("doctor", "lan0")})
	return len(rules), notes, err
}

// doctorText is the findings as text: problems and notes, and what is well where that is wanted.
func doctorText(all []doctor.Finding, good bool) string {
	var b strings.Builder
	counts := map[doctor.Status]int{}
	for _, f := range all {
		counts[f.Status]++
		if f.Status == doctor.Good && !good {
			continue
		}
		fmt.Fprintf(&b, "%-7s  %s: %s\n", f.Status, plain(f.Check), plain(f.Detail))
		if f.Remedy != "" {
			fmt.Fprintf(&b, "         %s\n", plain(f.Remedy))
		}
		if f.Fix != "" {
			fmt.Fprintf(&b, "         $ %s\n", plain(f.Fix))
		}
	}
	fmt.Fprintf(&b, "%s, %s, %d well\n", count(counts[doctor.Problem], "problem"), count(counts[doctor.Note], "note"), counts[doctor.Good])
	return b.String()
}
