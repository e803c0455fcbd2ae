package images

import (
	"archive/tar"
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/internal/testenv"
)

// The tests switch threads to other namespaces: none of them may be the main thread.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// fakeRegistry is a registry in the test's network namespace that counts requests.
type fakeRegistry struct {
	host string
	mu   sync.Mutex
	gets int
}

// newRegistry starts a registry, and sees to it that the store is gone when the test ends.
func newRegistry(t *testing.T) *fakeRegistry {
	t.Helper()
	emptyStore(t)
	r := &fakeRegistry{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet {
			r.mu.Lock()
			r.gets++
			r.mu.Unlock()
		}
		inner.ServeHTTP(w, req)
	}))
	t.Cleanup(s.Close)
	r.host = strings.TrimPrefix(s.URL, "http://")
	return r
}

// emptyStore removes the store at the test's end. It is on a tmpfs of the test's own.
func emptyStore(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if err := os.RemoveAll(image.Dir); err != nil {
			t.Error(err)
		}
	})
}

// push puts an image into the registry and returns its reference.
func (r *fakeRegistry) push(t *testing.T, repo string, img v1.Image) string {
	t.Helper()
	ref, err := name.ParseReference(r.host + "/" + repo)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return r.host + "/" + repo
}

// file is an entry of a layer: a directory where the name ends in a slash, a link with a target, or a file.
type file struct {
	name, content, target string
	mode                  int64
	uid                   int
	capability            string
}

func layer(t *testing.T, files ...file) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode, Typeflag: tar.TypeReg, Size: int64(len(f.content)), Uid: f.uid, Gid: f.uid}
		switch {
		case strings.HasSuffix(f.name, "/"):
			h.Typeflag = tar.TypeDir
		case f.target != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.target
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if f.capability != "" {
			h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": f.capability}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// makeImage makes an image for this machine.
func makeImage(t *testing.T, config v1.Config, layers ...v1.Layer) v1.Image {
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

// save writes an image as docker save does.
func save(t *testing.T, img v1.Image) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	ref, err := name.ParseReference("example.org/saved:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(path, ref, img); err != nil {
		t.Fatal(err)
	}
	return path
}

// fails runs nsnet, which must end with this exit code and say all these parts.
func fails(t *testing.T, code int, args []string, parts ...string) {
	t.Helper()
	res := testenv.Run(t, args...)
	if res.Code != code {
		t.Errorf("%s: exit code %d, and not %d\n%s%s", strings.Join(args, " "), res.Code, code, res.Stdout, res.Stderr)
	}
	for _, p := range parts {
		if !strings.Contains(res.Stderr, p) {
			t.Errorf("%s: the message does not say %q:\n%s", strings.Join(args, " "), p, res.Stderr)
		}
	}
}
