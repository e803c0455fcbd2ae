package registry

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/topology"
)

func reference(t *testing.T, s string) topology.Reference {
	t.Helper()
	r, err := topology.ParseReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// serve starts a registry and returns a reference to an image of it.
func serve(t *testing.T, h http.HandlerFunc) (*httptest.Server, topology.Reference) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s, reference(t, strings.TrimPrefix(s.URL, "http://")+"/some/image:1")
}

func TestManifestAndBlob(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	_, ref := serve(t, func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/v2/some/image/manifests/1":
			if !strings.Contains(req.Header.Get("Accept"), "application/vnd.oci.image.index.v1+json") {
				t.Errorf("it accepts %q", req.Header.Get("Accept"))
			}
			_, _ = io.WriteString(w, "by tag")
		case "/v2/some/image/manifests/sha256:x":
			_, _ = io.WriteString(w, "by digest")
		case "/v2/some/image/blobs/chunked":
			w.(http.Flusher).Flush()
			_, _ = w.Write(large)
		case "/v2/some/image/blobs/whole":
			w.Header().Set("Content-Length", fmt.Sprint(len(large)))
			_, _ = w.Write(large)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"errors":[{"code":"BLOB_UNKNOWN","message":"never\nnsnet: heard\u001b[2J"}]}`)
		}
	})
	var c Client
	ctx := context.Background()
	for digest, want := range map[string]string{"": "by tag", "sha256:x": "by digest"} {
		if b, err := c.Manifest(ctx, ref, digest); err != nil || string(b) != want {
			t.Errorf("manifest %q: %q, %v", digest, b, err)
		}
	}
	for _, name := range []string{"chunked", "whole"} {
		body, err := c.Blob(ctx, ref, name, -1)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(body); err != nil || !bytes.Equal(b, large) {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
		body.Close()
	}
	if _, err := c.Blob(ctx, ref, "none", -1); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), `never\nnsnet: heard\x1b[2J`) {
		t.Errorf("what is not there: %v", err)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	tokens := 0
	var s *httptest.Server
	s, ref := serve(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/token" {
			tokens++
			if user, password, _ := req.BasicAuth(); user != "me" || password != "pass:word" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			if req.URL.Query().Get("scope") != "repository:some/image:pull" || req.URL.Query().Get("service") != "reg" {
				t.Errorf("asked for %s", req.URL.RawQuery)
			}
			_, _ = io.WriteString(w, `{"token":"t0ken"}`)
			return
		}
		if req.Header.Get("Authorization") != "Bearer t0ken" {
			// What the registry would like to have granted is not what is asked for.
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.URL+`/token",service="reg",scope="repository:some/image:pull,push"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "secret")
	})
	credentials := &Credentials{User: "me", Password: "pass:word"}
	c := Client{Credentials: func(context.Context, string) (*Credentials, error) { return credentials, nil }}
	for range 3 {
		if b, err := c.Manifest(context.Background(), ref, ""); err != nil || string(b) != "secret" {
			t.Errorf("%q, %v", b, err)
		}
	}
	if tokens != 1 {
		t.Errorf("%d tokens", tokens)
	}
	credentials = nil
	other := Client{Credentials: c.Credentials}
	if _, err := other.Manifest(context.Background(), ref, ""); !errors.Is(err, ErrDenied) {
		t.Errorf("as nobody: %v", err)
	}
}

func TestBasic(t *testing.T) {
	t.Parallel()
	_, ref := serve(t, func(w http.ResponseWriter, req *http.Request) {
		if user, password, _ := req.BasicAuth(); user != "me" || password != "pw" {
			w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "secret")
	})
	c := Client{Credentials: func(context.Context, string) (*Credentials, error) {
		return &Credentials{User: "me", Password: "pw"}, nil
	}}
	if b, err := c.Manifest(context.Background(), ref, ""); err != nil || string(b) != "secret" {
		t.Errorf("%q, %v", b, err)
	}
	wrong := Client{Credentials: func(context.Context, string) (*Credentials, error) {
		return &Credentials{User: "me", Password: "no"}, nil
	}}
	if _, err := wrong.Manifest(context.Background(), ref, ""); !errors.Is(err, ErrDenied) {
		t.Errorf("with a wrong password: %v", err)
	}
	helper := Client{Credentials: func(context.Context, string) (*Credentials, error) { return nil, ErrHelper }}
	if _, err := helper.Manifest(context.Background(), ref, ""); !errors.Is(err, ErrDenied) || !errors.Is(err, ErrHelper) {
		t.Errorf("with a credential helper: %v", err)
	}
}

// A password does not travel with a redirect to another host, and a redirect does not leave what is safe.
func TestRedirects(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "" {
			t.Error("the password went along")
		}
		_, _ = io.WriteString(w, "content")
	}))
	defer elsewhere.Close()
	_, ref := serve(t, func(w http.ResponseWriter, req *http.Request) {
		if _, _, ok := req.BasicAuth(); !ok {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		to := map[string]string{
			"away": "https://example.com/x?signature=1", "http": "http://192.0.2.1/x", "file": "file:///etc/passwd", "round": "round", "nowhere": "",
		}[req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:]]
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	c := Client{Credentials: func(context.Context, string) (*Credentials, error) {
		return &Credentials{User: "me", Password: "pw"}, nil
	}, roots: x509.NewCertPool(), dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "example.com:") {
			address = elsewhere.Listener.Addr().String()
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	c.roots.AddCert(elsewhere.Certificate())
	body, err := c.Blob(context.Background(), ref, "away", -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if b, err := io.ReadAll(body); err != nil || string(b) != "content" {
		t.Errorf("%q, %v", b, err)
	}
	for name, want := range map[string]error{"http": ErrRefused, "file": ErrRefused, "round": ErrAnswer, "nowhere": ErrAnswer} {
		if _, err := c.Blob(context.Background(), ref, name, -1); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A registry elsewhere must not have this process ask things of the machine itself.
func TestRedirectToLoopback(t *testing.T) {
	t.Parallel()
	asked := false
	local := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer local.Close()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/token") {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+local.URL+`/token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, req, local.URL, http.StatusFound)
	}))
	defer s.Close()
	// example.com is in the server's certificate, and its address comes from a hosts file of nobody's: ask as get does.
	c := Client{roots: x509.NewCertPool(), dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "example.com:") {
			address = s.Listener.Addr().String()
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	c.roots.AddCert(s.Certificate())
	for _, digest := range []string{"redirect", "token"} {
		if _, err := c.Blob(context.Background(), reference(t, "example.com/some/image"), digest, -1); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", digest, err)
		}
	}
	if asked {
		t.Error("it was asked")
	}
}

// Nor must a registry on the machine, which anybody may run, have it ask another port there.
func TestLoopbackRegistryKeepsToItsPort(t *testing.T) {
	t.Parallel()
	asked := false
	beside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer beside.Close()
	_, ref := serve(t, func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:] {
		case "token":
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+beside.URL+`/token"`)
			w.WriteHeader(http.StatusUnauthorized)
		case "redirect":
			http.Redirect(w, req, beside.URL, http.StatusTemporaryRedirect)
		case "own":
			http.Redirect(w, req, "/content", http.StatusTemporaryRedirect)
		default:
			_, _ = io.WriteString(w, "content")
		}
	})
	for _, digest := range []string{"redirect", "token"} {
		if _, err := (&Client{}).Blob(context.Background(), ref, digest, -1); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", digest, err)
		}
	}
	if asked {
		t.Error("it was asked")
	}
	body, err := (&Client{}).Blob(context.Background(), ref, "own", -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if b, err := io.ReadAll(body); err != nil || string(b) != "content" {
		t.Errorf("%q, %v", b, err)
	}
}

// TLS is verified.
func TestCertificates(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "m") }))
	defer s.Close()
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}
	good, stranger := Client{roots: x509.NewCertPool(), dial: dial}, Client{dial: dial}
	good.roots.AddCert(s.Certificate())
	if b, err := good.Manifest(context.Background(), reference(t, "example.com/i"), ""); err != nil || string(b) != "m" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := good.Manifest(context.Background(), reference(t, "other.example/i"), ""); err == nil {
		t.Error("a certificate of another name was taken")
	}
	if _, err := stranger.Manifest(context.Background(), reference(t, "example.com/i"), ""); err == nil {
		t.Error("a certificate of nobody's was taken")
	}
}

// raw serves one answer, byte for byte, to whoever connects.
func raw(t *testing.T, answer string) topology.Reference {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			for line := ""; line != "\r\n" && err == nil; {
				line, err = r.ReadString('\n')
			}
			_, _ = io.WriteString(conn, answer)
			conn.Close()
		}
	}()
	return reference(t, l.Addr().String()+"/i")
}

func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"nothing":              "",
		"no HTTP":              "SSH-2.0-OpenSSH\r\n\r\n",
		"no status":            "HTTP/1.1 ok\r\n\r\n",
		"endless headers":      "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 20000) + "\r\n",
		"an endless line":      "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 100000),
		"headers cut":          "HTTP/1.1 200 OK\r\nContent-",
		"no header":            "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
		"negative length":      "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
		"a body cut":           "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx",
		"a chunk cut":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nx",
		"chunks cut":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
		"a negative chunk":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
		"a chunk too long":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
		"unasked compression":  "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nx",
		"an unknown encoding":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
		"a manifest too large": "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", MaxManifest+1),
		"a bad challenge":      "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm=\"::\"\r\n\r\n",
		"an empty challenge":   "HTTP/1.1 401 No\r\nWWW-Authenticate:\r\n\r\n",
		"nothing but progress": strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 10),
	} {
		ref := raw(t, answer)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if b, err := (&Client{Wait: noWait}).Manifest(ctx, ref, ""); err == nil {
			t.Errorf("%s: a manifest of %d bytes", name, len(b))
		}
		if ctx.Err() != nil {
			t.Errorf("%s: it took too long", name)
		}
		cancel()
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	_, ref := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		<-release
	})
	defer close(release)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	body, err := (&Client{}).Blob(ctx, ref, "x", -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
	if _, err := io.ReadAll(body); !errors.Is(err, cause) {
		t.Errorf("the error is %v", err)
	}
}

func TestBase(t *testing.T) {
	t.Parallel()
	for registry, want := range map[string]string{
		"docker.io": "https://registry-1.docker.io", "example.org": "https://example.org", "example.org:5000": "https://example.org:5000",
		"localhost:5000": "http://localhost:5000", "127.0.0.1": "http://127.0.0.1", "[::1]:5000": "http://[::1]:5000",
		"localhost.example.org": "https://localhost.example.org", "127.0.0.1.example.org": "https://127.0.0.1.example.org", "10.0.0.1:5000": "https://10.0.0.1:5000",
	} {
		if got := base(registry); got != want {
			t.Errorf("%s is asked at %s, and not %s", registry, got, want)
		}
	}
}

// FuzzAnswer: whatever a server says, reading it ends, and gives no more than it has sent.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
		"HTTP/1.0 200\n\nabc", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n", "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm=\"x\",service=y , scope=\"\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc", "HTTP/1.1 200 OK\r\n:\r\n\r\n", "",
		// As registries answer: who is to be asked for a token, where a layer is, and a list of images.
		"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ndocker-distribution-api-version: registry/2.0\r\n" +
			"www-authenticate: Bearer realm=\"https://auth.example.org/token\",service=\"registry.example.org\",scope=\"repository:library/debian:pull\"\r\ncontent-length: 2\r\n\r\n{}",
		"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a \\\"b\\\"\"\r\nWWW-Authenticate: Bearer realm=https://x,scope=a\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 307 Temporary Redirect\r\nLocation: https://cdn.example.org/blob?sig=%2F&x=y\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX-Trailer: y\r\n\r\n",
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		br := bufio.NewReader(bytes.NewReader(answer))
		r, err := readHead(br)
		if err != nil || r.setBody(br) != nil {
			return
		}
		for _, challenge := range r.header["www-authenticate"] {
			parseChallenge(challenge)
		}
		if body, _ := io.ReadAll(r.body); len(body) > len(answer) {
			t.Errorf("%d bytes of %d", len(body), len(answer))
		}
	})
}
