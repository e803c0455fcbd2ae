package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// serve listens on a unix socket of the test's, with this handler, and returns an engine there.
func serve(t *testing.T, name string, handler http.HandlerFunc) engine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	s.Start()
	t.Cleanup(s.Close)
	return engine{name: name, sockets: []string{path}, patience: 5 * time.Second}
}

// says is a handler that knows one container by its name.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/containers/web/json" || r.Method != http.MethodGet {
			status, body = 404, `{"message":"page not found"}`
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func running(id string, pid int) string {
	return fmt.Sprintf(`{"Id":%q,"Name":"/web","State":{"Status":"running","Running":true,"Paused":false,"Pid":%d},"Config":{"Env":null}}`, id, pid)
}

const unknown = `{"message":"No such container: web"}`

func TestFind(t *testing.T) {
	t.Parallel()
	absent := engine{name: "podman", sockets: []string{"/nonexistent/s"}, patience: time.Second, remedy: " (start it)"}
	docker := func(status int, body string) engine { return serve(t, "docker", says(status, body)) }
	podman := func(status int, body string) engine { return serve(t, "podman", says(status, body)) }
	for _, tt := range []struct {
		what, name string
		engines    []engine
		pid        int
		engine     string
		err        error
		words      string
	}{
		{what: "one engine", name: "web", engines: []engine{docker(200, running(id, 42))}, pid: 42, engine: "docker"},
		{what: "the other absent", name: "web", engines: []engine{docker(200, running(id, 42)), absent}, pid: 42, engine: "docker"},
		{what: "the other does not have it", name: "web", engines: []engine{docker(404, unknown), podman(200, running(id, 43))}, pid: 43, engine: "podman"},
		{what: "chosen", name: "podman:web", engines: []engine{docker(200, running(id, 42)), podman(200, running("f"+id[1:], 43))}, pid: 43, engine: "podman"},
		{what: "chosen, the other broken", name: "docker:web", engines: []engine{docker(200, running(id, 42)), podman(500, "x")}, pid: 42, engine: "docker"},
		{what: "one engine by two sockets", name: "web", engines: []engine{docker(200, running(id, 42)), podman(200, running(id, 42))}, pid: 42},
		{what: "paused", name: "web", engines: []engine{docker(200, strings.Replace(running(id, 42), `"Paused":false`, `"Paused":true`, 1))}, pid: 42, engine: "docker"},
		{what: "both have one", name: "web", engines: []engine{docker(200, running(id, 42)), podman(200, running("f"+id[1:], 43))}, err: ErrAmbiguous, words: "say docker:NAME or podman:NAME"},
		{what: "both have one, one does not run", name: "web", engines: []engine{docker(200, running(id, 42)), podman(200, running("f"+id[1:], 0))}, err: ErrAmbiguous},
		{what: "the other cannot be asked", name: "web", engines: []engine{docker(200, running(id, 42)), podman(500, `{"message":"database is locked"}`)}, err: ErrEngine, words: "database is locked"},
		{what: "not known", name: "web", engines: []engine{docker(404, unknown), absent}, err: ErrNotFound, words: "podman: there is no socket /nonexistent/s (start it)"},
		{what: "nobody", name: "web", engines: []engine{absent}, err: ErrNoEngine, words: "--pid"},
		{what: "stopped", name: "web", engines: []engine{docker(200, `{"Id":"1","State":{"Status":"exited","Running":false,"Pid":0}}`)}, err: ErrNotRunning, words: "docker says that it is exited"},
		{what: "stopped with a stale process", name: "web", engines: []engine{docker(200, `{"Id":"1","State":{"Status":"exited","Running":false,"Pid":7}}`)}, err: ErrNotRunning},
		{what: "restarting", name: "web", engines: []engine{docker(200, `{"Id":"1","State":{"Status":"restarting","Running":true,"Restarting":true,"Pid":0}}`)}, err: ErrNotRunning},
		{what: "several ids, docker", name: "web", engines: []engine{docker(400, `{"message":"Multiple IDs found with provided prefix: 01"}`)}, err: ErrAmbiguous},
		{what: "several ids, podman", name: "web", engines: []engine{podman(500, `{"message":"more than one result for container ID 01: container already exists"}`)}, err: ErrAmbiguous},
		{what: "no engine of that name", name: "containerd:web", engines: []engine{docker(200, running(id, 42))}, err: ErrName, words: "containerd"},
		{what: "empty", name: "", err: ErrName},
		{what: "empty after the colon", name: "docker:", engines: []engine{docker(200, running(id, 42))}, err: ErrName},
		{what: "a path", name: "../images", engines: []engine{docker(200, running(id, 42))}, err: ErrName},
		{what: "a request", name: "web/json HTTP/1.0\r\n\r\n", engines: []engine{docker(200, running(id, 42))}, err: ErrName},
		{what: "a query", name: "web?size=1", engines: []engine{docker(200, running(id, 42))}, err: ErrName},
		{what: "nobody listens", name: "web", engines: []engine{stale(t)}, err: ErrNoEngine, words: "nobody listens on "},
	} {
		t.Run(tt.what, func(t *testing.T) {
			c, err := find(t.Context(), tt.name, tt.engines)
			if !errors.Is(err, tt.err) || err != nil && !strings.Contains(err.Error(), tt.words) {
				t.Fatalf("error %v; want %v, %q", err, tt.err, tt.words)
			}
			if err == nil && (c.PID != tt.pid || c.Name != "web" || c.ID == "" || tt.engine != "" && c.Engine != tt.engine) {
				t.Errorf("got %+v; want process %d of %s", c, tt.pid, tt.engine)
			}
		})
	}
}

// stale is an engine that has died and left its socket.
func stale(t *testing.T) engine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return engine{name: "docker", sockets: []string{path}, patience: time.Second}
}

// What is asked says who answers: podman may be behind what is called Docker's socket.
func TestEngineByItsAnswer(t *testing.T) {
	t.Parallel()
	e := serve(t, "docker", func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "" || r.ProtoMajor != 1 || r.ProtoMinor != 0 {
			http.Error(w, "?", http.StatusBadRequest)
			return
		}
		w.Header().Set("Server", "Libpod/4.3.1 (linux)")
		_, _ = io.WriteString(w, running(id, 42))
	})
	if c, err := find(t.Context(), "web", []engine{e}); err != nil || c.Engine != "podman" {
		t.Errorf("got %+v, error %v", c, err)
	}
}

func TestEngines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		env            map[string]string
		docker, podman string // first socket
	}{
		{nil, "/var/run/docker.sock", "/run/podman/podman.sock"},
		{map[string]string{"DOCKER_HOST": "unix:///a/b"}, "/a/b", "/run/podman/podman.sock"},
		{map[string]string{"CONTAINER_HOST": "unix:///a/c"}, "/var/run/docker.sock", "/a/c"},
		{map[string]string{"DOCKER_HOST": "tcp://10.0.0.1:2375", "CONTAINER_HOST": "ssh://root@b/run/p.sock"}, "", ""},
	} {
		all := engines(func(k string) string { return tt.env[k] })
		var got []string
		for _, e := range all {
			got = append(got, strings.Join(append(e.sockets, ""), "\n"))
		}
		if first, _, _ := strings.Cut(got[0], "\n"); first != tt.docker {
			t.Errorf("%v: docker at %s", tt.env, first)
		}
		if first, _, _ := strings.Cut(got[1], "\n"); first != tt.podman {
			t.Errorf("%v: podman at %s", tt.env, first)
		}
	}
	// The containers of the usual socket are not those that such a user means.
	remote := engines(func(string) string { return "tcp://10.0.0.1:2375" })
	if _, err := find(t.Context(), "web", remote); !errors.Is(err, ErrNoEngine) || !strings.Contains(err.Error(), "DOCKER_HOST is tcp://10.0.0.1:2375") {
		t.Errorf("engines of another machine: %v", err)
	}
}

// The second of the usual sockets is asked when the first is not there.
func TestSecondSocket(t *testing.T) {
	t.Parallel()
	e := serve(t, "docker", says(200, running(id, 42)))
	e.sockets = append([]string{"/nonexistent/s"}, e.sockets...)
	if c, err := find(t.Context(), "web", []engine{e}); err != nil || c.PID != 42 {
		t.Errorf("got %+v, error %v", c, err)
	}
}

func TestFindUsesTheEnvironment(t *testing.T) {
	e := serve(t, "docker", says(200, running(id, 42)))
	t.Setenv("DOCKER_HOST", "unix://"+e.sockets[0])
	t.Setenv("CONTAINER_HOST", "unix:///nonexistent/podman")
	if c, err := Find(t.Context(), "web"); err != nil || c.PID != 42 {
		t.Errorf("got %+v, error %v", c, err)
	}
	_, err := Find(t.Context(), "db")
	if !errors.Is(err, ErrNotFound) || !strings.HasPrefix(err.Error(), "find container db: ") {
		t.Errorf("an unknown one: %v", err)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	e := serve(t, "docker", func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done() // until the client has gone
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	start := time.Now()
	if _, err := find(ctx, "web", []engine{e}); !errors.Is(err, context.Canceled) || time.Since(start) > 3*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
}
