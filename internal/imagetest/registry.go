package imagetest

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Registry is a registry in this process, in the network namespace of the test, which counts what it is asked for.
type Registry struct {
	Host string // as references begin
	URL  string

	mu    sync.Mutex
	gets  map[string]int // by path
	front func(http.ResponseWriter, *http.Request) bool
}

// NewRegistry starts a registry that ends with the test.
func NewRegistry(t testing.TB) *Registry {
	t.Helper()
	r := &Registry{gets: map[string]int{}}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		front := r.front
		if req.Method == http.MethodGet {
			r.gets[req.URL.Path]++
		}
		r.mu.Unlock()
		if front != nil && front(w, req) {
			return
		}
		inner.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.URL, r.Host = server.URL, strings.TrimPrefix(server.URL, "http://")
	return r
}

// Front puts f before the registry, which answers unless f says that it has; nil takes it away.
func (r *Registry) Front(f func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.front = f
}

// Asked is how often something whose path has part in it was asked for.
func (r *Registry) Asked(part string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for path, k := range r.gets {
		if strings.Contains(path, part) {
			n += k
		}
	}
	return n
}

// Push puts an image into the registry and returns its reference.
func (r *Registry) Push(t testing.TB, repo string, img v1.Image) string {
	t.Helper()
	ref, err := name.ParseReference(r.Host + "/" + repo)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return r.Host + "/" + repo
}
