package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/nsnet/nsnet/lab"
)

// leaves are all commands that do something, by their names.
func leaves(root *cobra.Command) map[string]*cobra.Command {
	all := map[string]*cobra.Command{}
	for _, c := range root.Commands() {
		if c.Hidden || c.Name() == "help" {
			continue
		}
		if !c.HasSubCommands() {
			all[strings.TrimPrefix(c.CommandPath(), "nsnet ")] = c
		}
		for name, sub := range leaves(c) {
			all[name] = sub
		}
	}
	return all
}

// Everybody may look at files and at nsnet itself; every other command is told to be root's, in one line.
func TestNeedsRoot(t *testing.T) {
	everybody := []string{"completion", "doctor", "plan", "schema", "validate", "version"}
	captured(t, func(std stdio) {
		root := newRoot(std)
		all := leaves(root)
		for name, cmd := range all {
			equal(t, name+" needs root", needsRoot(cmd), !slices.Contains(everybody, name))
			cmd.RunE = func(*cobra.Command, []string) error {
				return &lab.Error{Lab: "l", Op: "look", Err: lab.ErrPermission, Remedy: "more"}
			}
		}
		tellRoot(root, 1000)
		for name, cmd := range all {
			err := cmd.RunE(cmd, nil)
			if slices.Contains(everybody, name) {
				equal(t, name, err.Error(), "lab l: look: needs root; more")
				continue
			}
			if !errors.Is(err, lab.ErrPermission) || exitCode(err) != exitPermission || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), name+" needs root; ") {
				t.Errorf("%s: %v", name, err)
			}
		}
		up := leaves(root)["up"]
		if err := up.Flags().Set("dry-run", "true"); err != nil {
			t.Fatal(err)
		}
		equal(t, "up --dry-run needs root", needsRoot(up), false)
	})
}
