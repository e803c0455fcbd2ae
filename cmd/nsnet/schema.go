package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsnet/nsnet/topology"
)

func newSchema(std stdio) *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		GroupID: groupFile,
		Short:   "Print the JSON Schema of topology files",
		Long: `Print the JSON Schema of topology files, for editors that check and complete YAML.

` + exitStatus(exitOK, exitFailure, exitUsage),
		Example: `  nsnet schema >nsnet.schema.json
  # then, as the first line of a topology file:
  # yaml-language-server: $schema=nsnet.schema.json`,
		Args:              maxArgs(0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			return runSchema(std)
		},
	}
}

func runSchema(std stdio) error {
	schema, err := topology.Schema()
	if err != nil {
		return err
	}
	return printText(std.out, strings.TrimRight(string(schema), "\n")+"\n")
}
