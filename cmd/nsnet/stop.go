package main

import (
	"github.com/spf13/cobra"

	"github.com/nsnet/nsnet/lab"
)

func newStop(std stdio) *cobra.Command {
	return newCommand(std, "stop", "End the command of a node or of a lab's nodes", `End a node's command and all that it has started: the command by SIGTERM or the node's
stop_signal, then what it has left by SIGTERM, and after --time all by SIGKILL. Of a lab,
every command is ended, those that others depend on last. Links, addresses and routes
stay, whoever has made them, and so do commands of nsnet exec. The restart policy does not
start it again; nsnet start and nsnet up do.`, true, lab.Stop,
		exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitBusy, exitNotRunning, exitStuck, exitSignal)
}
