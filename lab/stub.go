package lab

import (
	"context"

	"github.com/nsnet/nsnet/topology"
)

// Up makes the lab run. See UpOptions.
func Up(ctx context.Context, o UpOptions) (UpResult, error) { panic("todo") }

// Plan says what Up would do, changing nothing.
func Plan(ctx context.Context, l *topology.Lab) ([]Action, error) { panic("todo") }

// Down removes a lab and all that is left of it. It is no error when there is nothing.
func Down(ctx context.Context, o DownOptions) (DownResult, error) { panic("todo") }

// Names lists the labs that have a record on this host, dead ones included, sorted.
func Names() ([]string, error) { panic("todo") }

// Inspect tells all of one lab.
func Inspect(ctx context.Context, name string) (*Status, error) { panic("todo") }

// Find turns "LAB/NODE", or "NODE" where one running lab has it, into both names.
func Find(ctx context.Context, ref string) (labName, node string, err error) { panic("todo") }

// Exec runs a command in a node and returns its exit code: 128+n when signal n killed it,
// 127 when it was not found and 126 when it cannot be executed (with an error that says so).
// When ctx ends, or on SIGINT, SIGTERM, SIGHUP, SIGQUIT while it runs, the signal is passed on.
func Exec(ctx context.Context, o ExecOptions) (int, error) { panic("todo") }

// Logs prints what a node's command has written, the last MiB at least.
func Logs(ctx context.Context, o LogsOptions) error { panic("todo") }
