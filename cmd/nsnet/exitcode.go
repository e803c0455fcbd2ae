package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/consent"
	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

// Exit codes: an interface, documented in docs/commands.md.
const (
	exitOK            = 0
	exitFailure       = 1
	exitUsage         = 2
	exitFile          = 3
	exitNotFound      = 4
	exitConflict      = 5
	exitPermission    = 6
	exitUnsupported   = 7
	exitBusy          = 8
	exitNotRunning    = 9
	exitChanges       = 10
	exitNotReady      = 11
	exitStuck         = 12
	exitConsent       = 13
	exitExec          = 125
	exitNotExecutable = 126
	exitNoCommand     = 127
	exitSignal        = 128 // plus the signal's number
)

// exitCodes lists every exit code, in order.
func exitCodes() []int {
	return []int{
		exitOK, exitFailure, exitUsage, exitFile, exitNotFound, exitConflict, exitPermission, exitUnsupported,
		exitBusy, exitNotRunning, exitChanges, exitNotReady, exitStuck, exitConsent, exitExec, exitNotExecutable, exitNoCommand, exitSignal,
	}
}

// exitMeaning says in one line what an exit code means.
func exitMeaning(code int) string {
	switch code {
	case exitOK:
		return "done"
	case exitUsage:
		return "wrong flags or arguments"
	case exitFile:
		return "the topology file cannot be read or is invalid"
	case exitNotFound:
		return "no such lab, node, bridge, image or target"
	case exitConflict:
		return "another lab is up under that name, a name or address is taken, or an image in use"
	case exitPermission:
		return "needs root"
	case exitUnsupported:
		return "the kernel lacks a feature that is needed"
	case exitBusy:
		return "the lab is locked by another nsnet (with --no-wait)"
	case exitNotRunning:
		return "the lab, node or target is not running, or the node has no command"
	case exitChanges:
		return "plan: there is something to do"
	case exitNotReady:
		return "wait, and up, start, restart --wait: a node is not ready"
	case exitStuck:
		return "stop, start, restart, kill: a process cannot be killed, or nobody answers"
	case exitConsent:
		return "up, plan: the file asks for what nobody has allowed (--allow, --trust)"
	case exitExec:
		return "exec: nsnet itself failed; the command was not run"
	case exitNotExecutable:
		return "exec, up, plan, start: the command cannot be executed"
	case exitNoCommand:
		return "exec, up, plan, start: the command was not found"
	case exitSignal:
		return "ended by signal n (130: Ctrl-C)"
	default:
		return "any other failure"
	}
}

// exitName is an exit code as help and documentation write it.
func exitName(code int) string {
	if code == exitSignal {
		return "128+n"
	}
	return fmt.Sprint(code)
}

// exitStatus is the EXIT STATUS section that ends every command's help.
func exitStatus(codes ...int) string {
	var b strings.Builder
	b.WriteString("EXIT STATUS")
	for _, c := range codes {
		fmt.Fprintf(&b, "\n  %-5s  %s", exitName(c), exitMeaning(c))
	}
	return b.String()
}

// usageError is a command line that means nothing.
type usageError struct {
	msg     string
	command string // whose help to read: "nsnet up"
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%s; see %s --help", e.msg, e.command)
}

// fileError is a topology file that cannot be read or is invalid.
type fileError struct {
	err    error
	remedy string // a further line for the user, may be empty
}

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// exitError ends nsnet with a code of its own. Without err nothing is printed: the
// command that ran in a node has said what there was to say.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// signalError is the cause of a context that a signal has cancelled.
type signalError struct{ signal syscall.Signal }

func (e *signalError) Error() string { return "stopped by signal: " + e.signal.String() }

// interrupted replaces err by the signal that caused it, if one did: the exit code is the
// signal's then. What else went wrong stays in the text.
func interrupted(ctx context.Context, err error) error {
	var sig *signalError
	if err == nil || !asError(context.Cause(ctx), &sig) {
		return err
	}
	if errors.Is(err, context.Canceled) || asError(err, &sig) {
		return sig
	}
	return fmt.Errorf("%w: %w", sig, err)
}

// asError is errors.As with the target's type checked by the compiler.
func asError[T error](err error, target *T) bool { return errors.As(err, target) }

// exitCode maps an error to the exit code that documents it.
func exitCode(err error) int {
	var (
		exit  *exitError
		sig   *signalError
		usage *usageError
		file  *fileError
		errs  topology.Errors
		ready *lab.NotReadyError
		asks  *consent.RefusedError
	)
	switch {
	case err == nil:
		return exitOK
	case asError(err, &exit):
		return exit.code
	case asError(err, &sig):
		return exitSignal + int(sig.signal)
	case asError(err, &usage):
		return exitUsage
	case asError(err, &file), asError(err, &errs):
		return exitFile
	case errors.Is(err, lab.ErrNotFound), errors.Is(err, image.ErrNotFound):
		return exitNotFound
	case errors.Is(err, lab.ErrConflict), errors.Is(err, image.ErrInUse):
		return exitConflict
	case errors.Is(err, lab.ErrPermission), errors.Is(err, image.ErrPermission):
		return exitPermission
	case errors.Is(err, lab.ErrUnsupported):
		return exitUnsupported
	case errors.Is(err, lab.ErrBusy):
		return exitBusy
	case errors.Is(err, lab.ErrNotRunning), errors.Is(err, lab.ErrPaused), errors.Is(err, lab.ErrNoCommandToRun):
		return exitNotRunning
	case asError(err, &ready):
		return exitNotReady
	case errors.Is(err, lab.ErrStuck):
		return exitStuck
	case asError(err, &asks):
		return exitConsent
	case errors.Is(err, lab.ErrNotExecutable):
		return exitNotExecutable
	case errors.Is(err, lab.ErrNoCommand):
		return exitNoCommand
	}
	return exitFailure
}

// commandExitCode is exitCode, save that every failure of exec's own is 125: any smaller
// code may be one that the command in the node ended with.
func commandExitCode(command string, err error) int {
	var exit *exitError
	if command == "exec" && err != nil && !asError(err, &exit) {
		return exitExec
	}
	return exitCode(err)
}

// reportError prints err, every line of it made safe for a terminal. The lines of an
// invalid topology file are left bare: editors and CI look for file:line:column.
func reportError(w io.Writer, err error) {
	var exit *exitError
	if err == nil || asError(err, &exit) && exit.err == nil {
		return
	}
	if reportRefused(w, err) {
		return
	}
	prefix := "nsnet: "
	var errs topology.Errors
	if asError(err, &errs) {
		prefix = ""
	}
	sayError(w, prefix, err)
	var file *fileError
	if asError(err, &file) && file.remedy != "" {
		say(w, "nsnet: %s\n", plain(file.remedy))
	}
	var files unix.Rlimit
	if errors.Is(err, unix.EMFILE) && !strings.Contains(errorText(err), "ulimit") && unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		// Go has raised the soft limit to the hard one.
		say(w, "nsnet: this process may have %d open files, its limit (ulimit -n): raise that, to 1024 for example\n", files.Cur)
	}
}
