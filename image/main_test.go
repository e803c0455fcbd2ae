package image

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	registryclient "github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/topology"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// fakeRegistry is go-containerregistry's own registry, in this process, which counts what it is asked for.
type fakeRegistry struct {
	t    *testing.T
	host string
	url  string

	mu    sync.Mutex
	gets  map[string]int                                // by path
	front func(http.ResponseWriter, *http.Request) bool // what is done instead, or before
}

func newRegistry(t *testing.T) *fakeRegistry {
	t.Helper()
	r := &fakeRegistry{t: t, gets: map[string]int{}}
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
	r.url, r.host = server.URL, strings.TrimPrefix(server.URL, "http://")
	return r
}

// set puts f before the registry.
func (r *fakeRegistry) set(f func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.front = f
}

// asked is how often something whose path has part in it was asked for.
func (r *fakeRegistry) asked(part string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for path, k := range r.gets {
		if strings.Contains(path, part) {
			n += k
		}
	}
	return n
}

// push puts an image into the registry and returns it as a topology file would name it.
func (r *fakeRegistry) push(repo string, img v1.Image) topology.Image {
	r.t.Helper()
	ref, err := name.ParseReference(r.host + "/" + repo)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := registryclient.Write(ref, img); err != nil {
		r.t.Fatal(err)
	}
	return parse(r.t, r.host+"/"+repo)
}

func parse(t *testing.T, s string) topology.Image {
	t.Helper()
	i, err := topology.ParseImage(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return i
}

// layerOf makes a compressed layer of files with these contents; a content of "!" is left out.
func layerOf(t testing.TB, files map[string]string, options ...tarball.LayerOption) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: n, Mode: 0o644, Size: int64(len(files[n])), Uid: os.Geteuid(), Gid: os.Getegid()}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[n]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, options...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// imageOf makes an image of layers for this machine.
func imageOf(t testing.TB, config v1.Config, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	f, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	f = f.DeepCopy()
	f.OS, f.Architecture, f.Config = "linux", runtime.GOARCH, config
	if img, err = mutate.ConfigFile(img, f); err != nil {
		t.Fatal(err)
	}
	return img
}

// threeLayers is an image with something in each layer.
func threeLayers(t testing.TB) v1.Image {
	t.Helper()
	return imageOf(t, v1.Config{Entrypoint: []string{"/init"}, Cmd: []string{"-v"}, Env: []string{"A=1"}, User: "daemon", WorkingDir: "/srv"},
		layerOf(t, map[string]string{"low": "1", "over": "1"}), layerOf(t, map[string]string{"over": "2"}), layerOf(t, map[string]string{"top": "3"}))
}

func newStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func nobody() ([]Use, error) { return nil, nil }

// sweep is Sweep, but waits for the lock: what other tests of this process fork holds it until it has called exec.
func sweep(t testing.TB, s *Store, users Users) {
	t.Helper()
	hold, err := s.alone(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	uses, err := users()
	if err == nil {
		err = s.sweep(uses)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func pull(t testing.TB, s *Store, i topology.Image) *Image {
	t.Helper()
	img, err := s.Pull(context.Background(), i, PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// content is a file as the union of an image's layers shows it.
func content(img *Image, file string) string {
	for _, d := range img.Dirs() {
		if b, err := os.ReadFile(filepath.Join(d, file)); err == nil {
			return string(b)
		}
	}
	return ""
}

// checkWhole fails unless the store has exactly what its names lead to, all of it whole.
func checkWhole(t testing.TB, s *Store) {
	t.Helper()
	images, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, i := range images {
		want["blobs/"+baseName(i.ID)] = true
		if i.Digest != "" {
			want["blobs/"+baseName(i.Digest)] = true
		}
		want["names/"+filepath.Base(s.nameFile(i.Name))] = true
		for _, l := range i.Layers {
			want["layers/"+baseName(l.DiffID)] = true
		}
	}
	got := map[string]bool{}
	for _, dir := range []string{"names", "blobs", "layers"} {
		entries, err := os.ReadDir(filepath.Join(s.dir, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			got[dir+"/"+e.Name()] = true
		}
	}
	for n := range got {
		if !want[n] {
			t.Errorf("left in the store: %s", n)
		}
		delete(want, n)
	}
	for n := range want {
		t.Errorf("missing in the store: %s", n)
	}
}

func mustEqual[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, and not %v", what, got, want)
	}
}
