package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Supervise is PID 1 of a sandbox: it prepares the namespaces, starts this program with the same
// arguments and with env ("K=V") set in its environment, reaps whatever is orphaned, and returns
// that program's exit code, 128+N when signal N ended it. To return from main then is the end of
// every process in the sandbox.
func Supervise(env ...string) int {
	code, err := supervise(env)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start sandbox:", err)
		return 1
	}
	return code
}

func supervise(env []string) (int, error) {
	if err := prepare(); err != nil {
		return 0, err
	}
	go func() {
		// The caller of Command holds the other end as long as it lives.
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	for _, kv := range env {
		key, value, _ := strings.Cut(kv, "=")
		if err := os.Setenv(key, value); err != nil {
			return 0, err
		}
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer func() { _ = null.Close() }()
	child, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Files: []*os.File{null, os.Stdout, os.Stderr},
	})
	if err != nil {
		return 0, err
	}
	return reapUntil(child.Pid)
}

// reapUntil waits for all children until the one of this pid ends.
func reapUntil(pid int) (int, error) {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		case got == pid && status.Exited():
			return status.ExitStatus(), nil
		case got == pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		}
	}
}
