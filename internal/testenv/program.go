package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Program builds the Go program of a directory for use in nodes and machines of the test, as a static binary, and
// returns its path. It is gone at the test's end. Where there is no Go, NSNET_TEST_PROGRAMS is a directory that has it already.
func Program(t testing.TB, dir string) string {
	t.Helper()
	if built := os.Getenv(envPrograms); built != "" {
		return filepath.Join(built, filepath.Base(dir))
	}
	path := filepath.Join(t.TempDir(), filepath.Base(dir))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, dir)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", dir, err, out)
	}
	return path
}
