package testenv

import (
	"fmt"
	"os"
	"testing"

	"github.com/nsnet/nsnet/internal/sandbox"
)

// Environment of the processes that Isolate starts.
const (
	envRole  = "NSNET_TESTENV_ROLE"  // roleSupervise or roleTest; unset in the process go test starts
	envDir   = "NSNET_TESTENV_DIR"   // directory for the life of the process go test starts
	envToken = "NSNET_TESTENV_TOKEN" // what all lab names of one isolated test begin with
	envBin   = "NSNET_BIN"           // an nsnet binary to test, instead of one built from this tree
	envFail  = "NSNET_FAILPOINT_BIN" // the same for FailpointBinary

	envPrograms = "NSNET_TEST_PROGRAMS" // a directory of what Program would build
)

const (
	roleSupervise = "supervise"
	roleTest      = "test"
)

// Main is the body of TestMain of a package that uses Isolate or Binary; it returns the exit
// code. In a process that Isolate started it plays that process's part.
func Main(m *testing.M) int {
	switch os.Getenv(envRole) {
	case roleSupervise:
		return sandbox.Supervise(envRole + "=" + roleTest)
	case roleTest:
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "nsnet-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make test directory:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Setenv(envDir, dir); err != nil {
		fmt.Fprintln(os.Stderr, "set test directory:", err)
		return 1
	}
	return m.Run()
}
