package main

import (
	"github.com/spf13/cobra"

	"github.com/nsnet/nsnet/lab"
)

func newStart(std stdio) *cobra.Command {
	return newCommand(std, "start", "Start the command of a node or of a lab's nodes", `Start the command of a node that does not run. Of a lab, every command that does not run
is started, in the order of their dependencies and when these allow; that of a single
node at once. What an exited command has left running is ended first.`, false, lab.Start,
		exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitBusy, exitNotRunning, exitNotReady, exitStuck, exitNotExecutable, exitNoCommand, exitSignal)
}
