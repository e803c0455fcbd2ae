package engine

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// raw is an engine that answers each request with these bytes, and then closes or, with hang, does not.
func raw(t *testing.T, hang bool, pieces ...string) engine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan struct{})
	t.Cleanup(func() { close(end); _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = conn.Read(make([]byte, 4096))
				for _, p := range pieces {
					if _, err := io.WriteString(conn, p); err != nil {
						return
					}
				}
				if hang {
					<-end
				}
			}()
		}
	}()
	return engine{name: "docker", sockets: []string{path}, patience: 5 * time.Second}
}

func repeat(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}

// What answers on a socket may be anything: each is an error that names the socket, in bounded time and memory.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\n\r\n"
	mib := strings.Repeat("x", 1<<20)
	for what, tt := range map[string]struct {
		pieces []string
		hang   bool
		want   string
	}{
		"nothing":             {want: "ends in the middle"},
		"silence":             {hang: true, want: "no answer within"},
		"half a header":       {pieces: []string{"HTTP/1.1 200 OK\r\nServ"}, want: "ends in the middle"},
		"half, then silence":  {pieces: []string{ok, `{"Id":`}, hang: true, want: "no answer within"},
		"no HTTP":             {pieces: []string{"SSH-2.0-OpenSSH_9.2\r\n"}, want: "does not speak HTTP"},
		"no status":           {pieces: []string{"HTTP/1.1 OK\r\n\r\n"}, want: "does not speak HTTP"},
		"endless line":        {pieces: repeat(mib, 100), want: "ends in the middle"},
		"endless header":      {pieces: append([]string{"HTTP/1.1 200 OK\r\n"}, repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 100_000)...), want: "bytes of header"},
		"endless body":        {pieces: append([]string{ok}, repeat(mib, 100)...), want: "bytes about one container"},
		"chunks":              {pieces: []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"}, want: "transfer encoding"},
		"cut off":             {pieces: []string{"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}"}, want: "announces 1000 bytes and sends 2"},
		"negative length":     {pieces: []string{"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"}, want: "announces -5 bytes"},
		"garbage":             {pieces: []string{ok, "<html>"}, want: "as no engine does"},
		"empty body":          {pieces: []string{ok}, want: "as no engine does"},
		"another type":        {pieces: []string{ok, `{"Id":"1","State":{"Running":true,"Pid":"42"}}`}, want: "as no engine does"},
		"an empty object":     {pieces: []string{ok, `{}`}, want: "without an id"},
		"null":                {pieces: []string{ok, `null`}, want: "without an id"},
		"negative process":    {pieces: []string{ok, `{"Id":"1","State":{"Running":true,"Pid":-1}}`}, want: "impossible process"},
		"impossible process":  {pieces: []string{ok, `{"Id":"1","State":{"Running":true,"Pid":4294967297}}`}, want: "impossible process"},
		"404 of a web server": {pieces: []string{"HTTP/1.1 404 Not Found\r\n\r\n404 page not found\n"}, want: "as no engine does: HTTP status 404"},
		"404 without words":   {pieces: []string{"HTTP/1.1 404 Not Found\r\n\r\n{}"}, want: "as no engine does: HTTP status 404"},
		"500 with words":      {pieces: []string{"HTTP/1.1 500 Internal Server Error\r\n\r\n{\"message\":\"no space left\"}"}, want: "HTTP status 500: no space left"},
		"redirect":            {pieces: []string{"HTTP/1.1 301 Moved\r\nLocation: http://example.org/\r\n\r\n"}, want: "HTTP status 301"},
		"a long message":      {pieces: []string{"HTTP/1.1 500 X\r\n\r\n{\"message\":\"" + mib + "\"}"}, want: "xxx..."},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			e := raw(t, tt.hang, tt.pieces...)
			if tt.hang {
				e.patience = 200 * time.Millisecond
			}
			_, err := find(t.Context(), "web", []engine{e})
			if !errors.Is(err, ErrEngine) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), e.sockets[0]) {
				t.Fatalf("got %.1000v; want %v with %q and the socket", err, ErrEngine, tt.want)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

// Whatever the answer, at most its bounds are kept.
func TestBoundedMemory(t *testing.T) {
	e := raw(t, false, append([]string{"HTTP/1.1 200 OK\r\n\r\n"}, repeat(strings.Repeat("x", 1<<20), 200)...)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := find(t.Context(), "web", []engine{e}); !errors.Is(err, ErrEngine) {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
		t.Errorf("%d MiB allocated for an answer of 200 MiB", got>>20)
	}
}

func FuzzGet(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.0 200 OK\r\nServer: Libpod/4.3.1 (linux)\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 404\n\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", "HTTP/1.1 -1 \r\n\r\n",
		// As Docker and podman answer, in short.
		"HTTP/1.0 200 OK\r\nApi-Version: 1.43\r\nContent-Type: application/json\r\nDocker-Experimental: false\r\nOstype: linux\r\nServer: Docker/24.0.7 (linux)\r\nDate: Mon, 01 Jan 2026 00:00:00 GMT\r\n\r\n" +
			`{"Id":"0123","Name":"/web","State":{"Status":"running","Running":true,"Paused":false,"Pid":4242},"HostConfig":{"NetworkMode":"bridge"},"NetworkSettings":{"SandboxKey":"/var/run/docker/netns/0123"}}` + "\n",
		"HTTP/1.0 404 Not Found\r\nServer: Libpod/4.3.1 (linux)\r\nContent-Type: application/json\r\n\r\n" + `{"cause":"no such container","message":"no container with name or ID \"web\" found: no such container","response":404}` + "\n",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		var sent bytes.Buffer
		r, err := get(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(answer), &sent}, "/containers/web/json")
		if err == nil && !bytes.HasSuffix(answer, r.body) {
			t.Errorf("body %q is not the end of the answer", r.body)
		}
		if got, _, _ := strings.Cut(sent.String(), "\r\n"); got != "GET /containers/web/json HTTP/1.0" {
			t.Errorf("sent %q", got)
		}
	})
}
