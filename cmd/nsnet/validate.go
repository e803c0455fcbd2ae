package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/topology"
)

type validateOptions struct {
	fileOptions
	JSON bool
}

// AddFlags adds the options to f.
func (o *validateOptions) AddFlags(f *pflag.FlagSet) {
	o.fileOptions.AddFlags(f)
	f.BoolVar(&o.JSON, "json", false, "print the verdict and what the file means as JSON")
}

// verdict is what validate --json prints.
type verdict struct {
	Valid    bool             `json:"valid"`
	Errors   []topology.Error `json:"errors,omitempty"`
	Warnings []topology.Error `json:"warnings,omitempty"`
	Asks     []asked          `json:"asks,omitempty"` // what up does not give without consent
	Lab      *topology.Lab    `json:"lab,omitempty"`  // with every default filled in and every address decided
}

func newValidate(std stdio) *cobra.Command {
	var o validateOptions
	cmd := &cobra.Command{
		Use:     "validate FILE",
		GroupID: groupFile,
		Short:   "Check a topology file",
		Long: `Check a topology file and everything it refers to. Nothing is changed and no root is
needed. All errors are told at once, one a line, as file:line:column: message.
What is legal and may not be meant is told in the same way, as a warning, and so is what
the file asks for and up gives only if it is allowed. Neither changes the exit code.

` + exitStatus(exitOK, exitFailure, exitUsage, exitFile),
		Example: `  nsnet validate demo.yaml
  nsnet validate --json demo.yaml | jq .lab.links`,
		Args:              exactArgs("FILE"),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runValidate(cmd.Context(), o, args[0], std)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runValidate(ctx context.Context, o validateOptions, file string, std stdio) error {
	l, err := o.load(ctx, file, std)
	switch {
	case err != nil && o.JSON:
		var errs topology.Errors
		if !asError(err, &errs) {
			errs = topology.Errors{{File: shownFile(file), Msg: errorText(err)}}
		}
		return errors.Join(err, printJSON(std.out, verdict{Errors: errs}))
	case err != nil:
		return err
	case o.JSON:
		return printJSON(std.out, verdict{Valid: true, Warnings: l.Warnings, Asks: asksOf(l), Lab: l})
	}
	for _, w := range l.Warnings {
		w.Msg = "warning: " + w.Msg
		if err := printText(std.err, plain(w.Error())+"\n"); err != nil {
			return err
		}
	}
	for _, a := range asksOf(l) {
		say(std.err, "%s\n", plain(a.Error.Error()))
	}
	return printText(std.out, fmt.Sprintf("%s: lab %s is valid: %s\n", plain(shownFile(file)), plain(l.Name), labSize(l)))
}
