package testenv

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// strict tells whether a missing precondition is a failure: where the project's own
// scripts have set up the machine, a skipped test would be a test that nobody runs.
func strict() bool { return os.Getenv("NSNET_STRICT") == "1" }

// Root skips the test when the process is not root; with NSNET_STRICT=1 it fails instead.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Miss(t, "needs root")
	}
}

// Need skips the test when one of the programs is not in PATH or in the directories of
// system programs; with NSNET_STRICT=1 it fails instead. scripts/setup-test.sh installs all
// that the tests name.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	var missing []string
	for _, p := range programs {
		if _, ok := lookProgram(p); !ok {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		Miss(t, "needs "+strings.Join(missing, ", ")+"; scripts/setup-test.sh installs it")
	}
}

// Miss skips the test for want of what; with NSNET_STRICT=1 it fails instead.
func Miss(t testing.TB, what string) {
	t.Helper()
	if strict() {
		t.Fatal(what + " (NSNET_STRICT=1)")
	}
	t.Skip(what)
}

// lookProgram finds a program as exec.LookPath does, and in the system's directories,
// which a shell that su made may not have in PATH.
func lookProgram(name string) (string, bool) {
	if path, err := exec.LookPath(name); err == nil {
		return path, true
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/", "/usr/lib/frr/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path, true
		}
	}
	return "", false
}
