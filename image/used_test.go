package image

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/nsnet/nsnet/internal/imagetest"
)

// What a lab runs from is found whatever its name stands for by now, for as long as the lab says that it uses it.
func TestUsed(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	base := layerOf(t, map[string]string{"base": "x"})
	i := r.push("app:1", imagetest.Image(t, v1.Config{Env: []string{"V=1"}, Cmd: []string{"a"}}, base, layerOf(t, map[string]string{"v": "1"})))
	old := pull(t, s, i)
	use := Use{Lab: "lab", Image: old.Name, ID: old.ID}
	for _, l := range old.Layers {
		use.Layers = append(use.Layers, l.DiffID)
	}
	r.push("app:1", imagetest.Image(t, v1.Config{Env: []string{"V=2"}}, base, layerOf(t, map[string]string{"v": "2"})))
	if now := pull(t, s, i); now.ID == old.ID {
		t.Fatal("the name stands for the same")
	}
	sweep(t, s, func() ([]Use, error) { return []Use{use}, nil })
	got, err := s.Used(use)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Config, old.Config) || !reflect.DeepEqual(got.Layers, old.Layers) || !reflect.DeepEqual(got.Dirs(), old.Dirs()) || got.Platform != old.Platform || got.Name != old.Name {
		t.Errorf("got  %+v\nwant %+v", got, old)
	}
	mustEqual(t, "a file of it", content(got, "v"), "1")
	sweep(t, s, nobody)
	if _, err := s.Used(use); err == nil {
		t.Error("nobody uses it, and it is there")
	}
	if _, err := s.Used(Use{Image: old.Name}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a use of an older record: %v", err)
	}
}

// Peek tells what an archive is now, and reads no layer.
func TestPeek(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	path := filepath.Join(t.TempDir(), "image.tar")
	save := func(img v1.Image) {
		t.Helper()
		ref, err := name.ParseReference("example.org/saved:1")
		if err == nil {
			err = tarball.WriteToFile(path, ref, img)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	one := threeLayers(t)
	save(one)
	ref := parse(t, "docker-archive:"+path)
	img := pull(t, s, ref)
	if _, err := s.Find(ref); err != nil {
		t.Fatal(err)
	}
	save(imagetest.Image(t, v1.Config{Cmd: []string{"new"}}, layerOf(t, map[string]string{"a": "b"})))
	if _, err := s.Find(ref); !errors.Is(err, ErrChanged) || !errors.Is(err, ErrNotFound) {
		t.Errorf("written anew: %v", err)
	}
	before, _ := os.ReadDir(s.layers())
	id, err := s.Peek(context.Background(), ref)
	if err != nil || id == img.ID {
		t.Errorf("written anew: %s, %v", id, err)
	}
	if after, _ := os.ReadDir(s.layers()); len(after) != len(before) {
		t.Errorf("there were %d layers, and are %d", len(before), len(after))
	}
	if got := pull(t, s, ref); got.ID != id {
		t.Errorf("it is %s, and was to be %s", got.ID, id)
	}
	save(one)
	if id, err := s.Peek(context.Background(), ref); err != nil || id != img.ID {
		t.Errorf("the first again: %s, %v", id, err)
	}
	if err := os.WriteFile(path, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Peek(context.Background(), ref); !errors.Is(err, ErrMalformed) {
		t.Errorf("no archive: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find(ref); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrChanged) {
		t.Errorf("no file: %v", err)
	}
}
