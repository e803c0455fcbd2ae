package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/consent"
	"github.com/nsnet/nsnet/lab"
)

type allowedOptions struct {
	Withdraw bool
	JSON     bool
}

// AddFlags adds the options to f.
func (o *allowedOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.Withdraw, "withdraw", false, "forget what FILE was allowed")
	f.BoolVar(&o.JSON, "json", false, "print the list as JSON")
}

func newConsent(std stdio) *cobra.Command {
	var o allowedOptions
	cmd := &cobra.Command{
		Use:     "consent [FILE]",
		GroupID: groupFile,
		Short:   "List what files were allowed, or withdraw it",
		Long: `List what topology files were allowed by --allow and --trust of "nsnet up", or what one
was. With --withdraw FILE has to ask again; a lab that is up stays as it is.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitPermission),
		Example: `  nsnet consent
  nsnet consent --withdraw demo.yaml`,
		Args:              maxArgs(1),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Withdraw && len(args) == 0 {
				return usagef(cmd, "--withdraw needs a FILE")
			}
			if err := checkRoot(); err != nil {
				return err
			}
			return runConsent(o, args, consent.This().Store, std)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runConsent(o allowedOptions, files []string, store consent.Store, std stdio) error {
	path := ""
	if len(files) > 0 {
		var err error
		if path, err = resolved(files[0]); err != nil {
			return err
		}
	}
	if o.Withdraw {
		had, err := store.Withdraw(path)
		if err == nil && !had {
			err = fmt.Errorf("%w: %s was allowed nothing", lab.ErrNotFound, path)
		}
		return err
	}
	all, err := store.All()
	shown := []consent.Kept{}
	for _, k := range all {
		if path == "" || k.File == path {
			shown = append(shown, k)
		}
	}
	if o.JSON {
		return errors.Join(err, printJSON(std.out, shown))
	}
	return errors.Join(err, printText(std.out, allowedText(shown)))
}

// resolved returns the path of a file without symbolic links. Of one that is gone it is where it was: beneath what is left of the directories above it.
func resolved(file string) (string, error) {
	path, err := absolute(file)
	if err != nil {
		return "", err
	}
	gone := ""
	for {
		at, err := filepath.EvalSymlinks(path)
		if err == nil {
			return filepath.Join(at, gone), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || path == "/" {
			return "", fmt.Errorf("find topology file: %w", err)
		}
		path, gone = filepath.Dir(path), filepath.Join(filepath.Base(path), gone)
	}
}

// allowedText is a table of what files were allowed.
func allowedText(all []consent.Kept) string {
	if len(all) == 0 {
		return "no file was allowed anything\n"
	}
	rows := [][]string{{"FILE", "ALLOWED"}}
	for _, k := range all {
		var items []string
		for _, a := range k.Asks {
			items = append(items, plain(a.String()))
		}
		rows = append(rows, []string{plain(k.File), strings.Join(items, "\n")})
	}
	return table(rows, nil)
}
