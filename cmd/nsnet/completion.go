package main

import (
	"github.com/spf13/cobra"
)

func newCompletion(std stdio) *cobra.Command {
	return &cobra.Command{
		Use:     "completion bash|zsh|fish",
		GroupID: groupTool,
		Short:   "Print a shell's completion script",
		Long: `Print the script that makes a shell complete nsnet's commands, flags, topology files and
the names of labs and nodes.

` + exitStatus(exitOK, exitFailure, exitUsage),
		Example: `  source <(nsnet completion bash)
  nsnet completion bash >/etc/bash_completion.d/nsnet
  nsnet completion zsh >"${fpath[1]}/_nsnet"
  nsnet completion fish >~/.config/fish/completions/nsnet.fish`,
		Args:      exactArgs("SHELL"),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(std.out, true)
			case "zsh":
				return root.GenZshCompletion(std.out)
			case "fish":
				return root.GenFishCompletion(std.out, true)
			}
			return usagef(cmd, "unknown shell %q: bash, zsh and fish are known", args[0])
		},
	}
}
