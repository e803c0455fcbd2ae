package testenv

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/engines"
)

// Engine is a container engine that runs for one isolated test, and its subtests. nsnet finds it by the
// environment of this process.
type Engine struct {
	*engines.Engine
}

// Docker starts a Docker Engine, with these flags of dockerd. When t ends its containers are removed, then what differs
// from before the first is a leak that fails t, beside a bridge that lives; then the engine goes.
func Docker(t testing.TB, flags ...string) *Engine {
	t.Helper()
	Need(t, "dockerd", "docker", "containerd", "runc", "iptables", "nft", "busybox")
	e, err := engines.Docker(outlasting(t), LabName(t), flags...)
	return watch(t, e, err, "DOCKER_HOST")
}

// Podman starts podman's service, as Docker does Docker's. Its containers must have --network none.
func Podman(t testing.TB) *Engine {
	t.Helper()
	Need(t, "podman", "conmon", "runc", "nft", "busybox")
	e, err := engines.Podman(outlasting(t), LabName(t))
	return watch(t, e, err, "CONTAINER_HOST")
}

// outlasting is a context for what must be done in clean-ups, too.
func outlasting(t testing.TB) context.Context { return context.WithoutCancel(t.Context()) }

func watch(t testing.TB, e *engines.Engine, err error, variable string) *Engine {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	if os.Getenv(envRole) != roleTest {
		t.Fatal("an engine outside of testenv.Isolate would change this machine")
	}
	if err := os.Setenv(variable, "unix://"+e.Socket); err != nil { //nolint:usetesting // t.Setenv refuses parallel tests; this process has one test
		t.Fatal(err)
	}
	before, err := Take()
	if err != nil {
		t.Fatalf("take snapshot: %v", err)
	}
	t.Cleanup(func() {
		if err := e.RemoveAll(outlasting(t)); err != nil {
			t.Error(err)
		}
		// Its processes may have been started anew; its control groups stay until it goes.
		leaks, err := before.Wait(3*time.Second, KindProcess, KindCgroup)
		if err != nil {
			t.Errorf("take snapshot: %v", err)
		}
		for _, l := range leaks {
			if l.Kind == KindMount && strings.Contains(l.Item, e.Dir+"/") {
				continue // mounted with the first container
			}
			t.Errorf("left behind beside %s: %s", e.Name, l)
		}
	})
	return &Engine{e}
}

// Run starts a container that sleeps, with more flags of the engine's run, and returns its first process.
func (e *Engine) Run(t testing.TB, name string, flags ...string) (pid int) {
	t.Helper()
	pid, err := e.Engine.Run(outlasting(t), name, flags...)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// Do runs the engine's client, fails t when that fails, and returns what it printed.
func (e *Engine) Do(t testing.TB, args ...string) string {
	t.Helper()
	out, err := e.Engine.Do(outlasting(t), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Exec runs a program in a container, fails t when that fails, and returns what it printed.
func (e *Engine) Exec(t testing.TB, name string, argv ...string) string {
	t.Helper()
	return e.Do(t, append([]string{"exec", name}, argv...)...)
}

// Restart ends the daemon as its service manager would, and starts it anew.
func (e *Engine) Restart(t testing.TB) {
	t.Helper()
	if err := e.Engine.Restart(outlasting(t)); err != nil {
		t.Fatal(err)
	}
}
