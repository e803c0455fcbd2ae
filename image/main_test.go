package image

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/nsnet/nsnet/internal/imagetest"
	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/topology"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// fakeRegistry is a registry whose references are understood already.
type fakeRegistry struct {
	*imagetest.Registry
	t *testing.T
}

func newRegistry(t *testing.T) *fakeRegistry {
	t.Helper()
	return &fakeRegistry{imagetest.NewRegistry(t), t}
}

// push puts an image into the registry and returns it as a topology file would name it.
func (r *fakeRegistry) push(repo string, img v1.Image) topology.Image {
	r.t.Helper()
	return parse(r.t, r.Push(r.t, repo, img))
}

func parse(t *testing.T, s string) topology.Image {
	t.Helper()
	i, err := topology.ParseImage(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return i
}

// layerOf makes a compressed layer of files with these contents.
func layerOf(t testing.TB, contents map[string]string, options ...tarball.LayerOption) v1.Layer {
	t.Helper()
	var files []imagetest.File
	for _, n := range slices.Sorted(maps.Keys(contents)) {
		files = append(files, imagetest.File{Name: n, Content: contents[n], Mode: 0o644, UID: os.Geteuid()})
	}
	return imagetest.Layer(t, files, options...)
}

// threeLayers is an image with something in each layer.
func threeLayers(t testing.TB) v1.Image {
	t.Helper()
	return imagetest.Image(t, v1.Config{Entrypoint: []string{"/init"}, Cmd: []string{"-v"}, Env: []string{"A=1"}, User: "daemon", WorkingDir: "/srv",
		Volumes: map[string]struct{}{"/data": {}, "/": {}, "/a/../b": {}}, ExposedPorts: map[string]struct{}{"80/tcp": {}, "53/udp": {}}},
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
