package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/consent"
	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

type planOptions struct {
	fileOptions
	consentOptions
	Replace bool
	JSON    bool
}

// AddFlags adds the options to f.
func (o *planOptions) AddFlags(f *pflag.FlagSet) {
	o.fileOptions.AddFlags(f)
	o.consentOptions.AddFlags(f)
	f.BoolVar(&o.Replace, "replace", false, "let FILE take over a lab that another file has made, and what its nodes keep")
	f.BoolVar(&o.JSON, "json", false, "print the plan as JSON")
}

func newPlan(std stdio) *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:     "plan FILE",
		GroupID: groupLab,
		Short:   "Print what up would do",
		Long: `Print what "nsnet up FILE" would do, one line each: + makes, ~ changes, - removes.
Of a lab that runs it compares the file with what there is: what was changed in the
file, and what was changed in the lab by hand or by accident. In parentheses is why,
and what a change costs: "in place" disturbs nothing else, "link re-made" loses that
link's packets for a moment, "node restarted" ends the node's processes.
Nothing is changed. The exit code tells whether there is something to do. What up would
refuse is refused, in the same words and with the same exit code. What the file asks for
and nobody has allowed is, too, but what up would do with it is printed first.

` + exitStatus(exitOK, exitFailure, exitUsage, exitFile, exitNotFound, exitConflict, exitPermission, exitUnsupported, exitChanges, exitConsent, exitNotExecutable, exitNoCommand),
		Example: `  nsnet plan demo.yaml
  nsnet plan demo.yaml --json`,
		Args:              exactArgs("FILE"),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPlan(cmd.Context(), o, args[0], std)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runPlan(ctx context.Context, o planOptions, file string, std stdio) error {
	l, err := o.loadHere(ctx, file, std)
	if err != nil {
		return err
	}
	changes, err := printPlan(ctx, l, o.given(), o.Replace, o.JSON, std)
	if err != nil {
		return err
	}
	if changes {
		return &exitError{code: exitChanges}
	}
	return nil
}

// printPlan prints what up would do for l, of which some is allowed, and tells whether that is anything.
func printPlan(ctx context.Context, l *topology.Lab, given consent.Given, replace, asJSON bool, std stdio) (changes bool, err error) {
	refused := planAsks(l, given, std)
	actions, err := lab.Plan(ctx, lab.PlanOptions{Lab: l, Replace: replace, Untried: refused != nil})
	if err != nil {
		return false, cmp.Or(refused, err)
	}
	for _, note := range lab.Notes(l) {
		say(std.err, "nsnet: note: %s\n", plain(note))
	}
	if asJSON {
		if actions == nil {
			actions = []lab.Action{}
		}
		return len(actions) > 0, cmp.Or(printJSON(std.out, actions), refused)
	}
	return len(actions) > 0, cmp.Or(printText(std.out, planText(l.Name, actions)), refused)
}

// planText is a plan, one action a line.
func planText(name string, actions []lab.Action) string {
	if len(actions) == 0 {
		return plain(name) + " is up already, nothing to do\n"
	}
	rows := make([][]string, len(actions))
	for i, a := range actions {
		rows[i] = []string{plain(a.Op) + " " + plain(a.Kind), plain(a.Name)}
		if detail := actionDetail(a); detail != "" {
			rows[i] = append(rows[i], plain(detail))
		}
	}
	return table(rows, nil)
}

// actionDetail is what an action does, why, and what it costs.
func actionDetail(a lab.Action) string {
	var notes []string
	for _, n := range []string{a.Reason, a.Cost} {
		if n != "" {
			notes = append(notes, n)
		}
	}
	if len(notes) == 0 {
		return a.Detail
	}
	return strings.TrimSpace(a.Detail + " (" + strings.Join(notes, "; ") + ")")
}
