package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// The main thread cannot end: a goroutine that leaves its namespaces must not be on it.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// madeUp writes a lab's record until the test ends, and returns its directory.
func madeUp(t *testing.T, r record) string {
	t.Helper()
	r.Schema = schema
	dir := dirOf(r.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(RunDir) })
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// inDir makes a directory that has the name of a lab.
func inDir(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// hold locks a file of a lab from another process, as its init or another nsnet does. It
// returns that process. This one never has the lock: what other tests fork would hold it for
// as long as they have not called exec.
func hold(t *testing.T, dir, name, content string) *os.Process {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("flock", "--no-fork", "--nonblock", path, "sh", "-c", "echo locked; exec sleep 1000")
	startLocked(t, cmd)
	return cmd.Process
}

// startLocked starts a command that says when it has locked what it is to lock, and ends it with the test.
func startLocked(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	locked := make([]byte, len("locked\n"))
	if _, err := io.ReadFull(out, locked); err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
}

// lead starts a process that is to a lab what its init is, as far as others can tell, and returns its pid.
func lead(t *testing.T, dir string) int {
	t.Helper()
	path := filepath.Join(dir, aliveFile)
	cmd := exec.Command("unshare", "--pid", "--fork", "--kill-child", "sh", "-c", `exec 5<>"$0"; flock -n 5; echo locked; exec sleep 1000`, path)
	startLocked(t, cmd)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// stop ends a process of hold.
func stop(t *testing.T, p *os.Process) {
	t.Helper()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
}

func writeJSON(t *testing.T, path string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
