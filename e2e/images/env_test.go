package images

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/internal/imagetest"
	"github.com/nsnet/nsnet/internal/testenv"
)

// The tests switch threads to other namespaces: none of them may be the main thread.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// newRegistry starts a registry, and sees to it that the store is gone when the test ends.
func newRegistry(t *testing.T) *imagetest.Registry {
	t.Helper()
	emptyStore(t)
	return imagetest.NewRegistry(t)
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

type file = imagetest.File

func layer(t *testing.T, files ...file) v1.Layer {
	t.Helper()
	return imagetest.Layer(t, files)
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
