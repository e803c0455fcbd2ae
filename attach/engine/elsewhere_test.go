package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// envRole makes the test binary an engine, or one who asks an engine, in another pid namespace.
const envRole = "NSNET_ENGINE_TEST"

func TestMain(m *testing.M) {
	role, path, _ := strings.Cut(os.Getenv(envRole), "=")
	switch role {
	case "serve":
		l, err := net.Listen("unix", path)
		if err == nil {
			err = http.Serve(l, says(200, running(id, 1)))
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case "ask":
		_, err := find(context.Background(), "web", []engine{{name: "docker", sockets: []string{path}, patience: time.Second}})
		fmt.Print(err)
		os.Exit(0)
	}
	os.Exit(testenv.Main(m))
}

// another starts this program with a role in a pid namespace of its own.
func another(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), envRole+"="+role+"="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	return cmd
}

// An engine with a pid namespace of its own speaks of processes that are others here: attaching to
// "its" process 1 would be attaching to ours.
func TestEngineOfAnotherPIDNamespace(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		cmd := another(t, "serve", path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		e := engine{name: "docker", sockets: []string{path}, patience: time.Second}
		testenv.Eventually(t, 5*time.Second, "the engine listens", func() bool {
			_, err := os.Stat(path)
			return err == nil
		})
		if _, err := find(t.Context(), "web", []engine{e}); !errors.Is(err, ErrElsewhere) {
			t.Errorf("an engine of an inner pid namespace: %v", err)
		}

		here := serve(t, "docker", says(200, running(id, 1)))
		if c, err := find(t.Context(), "web", []engine{here}); err != nil {
			t.Errorf("an engine of this pid namespace: %+v, %v", c, err)
		}
		out, err := another(t, "ask", here.sockets[0]).CombinedOutput()
		if err != nil || !strings.Contains(string(out), ErrElsewhere.Error()) {
			t.Errorf("asked from an inner pid namespace: %s, %v", out, err)
		}
	})
}
