package testenv

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// supervise is PID 1 of an isolated test: it prepares the namespaces, starts the test,
// reaps whatever is orphaned, and ends with the test's exit code. Its end is the end of every
// process in its PID namespace.
func supervise() int {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "prepare namespaces of test:", err)
		return 1
	}
	go func() {
		// The parent holds the other end as long as it lives.
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	if err := os.Setenv(envRole, roleTest); err != nil {
		fmt.Fprintln(os.Stderr, "start test:", err)
		return 1
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start test:", err)
		return 1
	}
	child, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Files: []*os.File{null, os.Stdout, os.Stderr},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "start test:", err)
		return 1
	}
	return reapUntil(child.Pid)
}

// reapUntil waits for all children until the one of this pid ends, and returns its exit
// code as a shell would.
func reapUntil(pid int) int {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, "wait for test:", err)
			return 1
		case got == pid && status.Exited():
			return status.ExitStatus()
		case got == pid && status.Signaled():
			return 128 + int(status.Signal())
		}
	}
}
