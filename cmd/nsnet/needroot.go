package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/lab"
)

// needsRoot reports whether a command, with the flags that it was given, is for root alone. Others are for everybody: of a lab
// that is up, which is root's to look at, plan says so itself.
func needsRoot(cmd *cobra.Command) bool {
	switch {
	case cmd.HasParent() && cmd.Parent().GroupID == groupImage, cmd.Name() == "gc", cmd.Name() == "consent":
		return true
	case cmd.Name() == "plan":
		return false
	case cmd.Name() == "up":
		dry, err := cmd.Flags().GetBool("dry-run")
		return err != nil || !dry
	}
	return touchesLabs(cmd)
}

// tellRoot has every command that needs root say so to other users in one line, which names the command and not what it was at.
func tellRoot(root *cobra.Command, uid int) {
	for _, cmd := range root.Commands() {
		tellRoot(cmd, uid)
		if cmd.RunE == nil {
			continue
		}
		run := cmd.RunE
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			err := run(cmd, args)
			if uid == 0 || !needsRoot(cmd) || !errors.Is(err, lab.ErrPermission) && !errors.Is(err, image.ErrPermission) {
				return err
			}
			name := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
			return fmt.Errorf("%s %w; run it as root, with sudo for example", name, lab.ErrPermission)
		}
	}
}

// checkRoot is for commands that say what they do before they find out that they may not.
func checkRoot() error {
	if os.Geteuid() != 0 {
		return lab.ErrPermission
	}
	return nil
}
