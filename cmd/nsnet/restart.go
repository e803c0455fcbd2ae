package main

import (
	"github.com/spf13/cobra"

	"github.com/nsnet/nsnet/lab"
)

func newRestart(std stdio) *cobra.Command {
	return newCommand(std, "restart", "End and start the command of a node or of a lab's nodes", `End a node's command as nsnet stop does, and start it again as nsnet start does, with
its log going on. The node itself stays as it is, with its links, addresses and routes,
and what nsnet exec has started in it. A command that does not run is started.`, true, lab.Restart,
		exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitBusy, exitNotRunning, exitNotReady, exitStuck, exitNotExecutable, exitNoCommand, exitSignal)
}
