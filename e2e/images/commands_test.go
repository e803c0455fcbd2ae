package images

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/internal/imagetest"
	"github.com/nsnet/nsnet/internal/testenv"
)

type listed struct {
	Images []image.Image
	Size   int64
}

func list(t *testing.T) listed {
	t.Helper()
	var l listed
	if err := json.Unmarshal([]byte(testenv.Must(t, "image", "ls", "--json")), &l); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestCommands(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := newRegistry(t)
		if l := list(t); l.Images == nil || len(l.Images) != 0 {
			t.Errorf("without a store: %+v", l)
		}
		fails(t, 4, []string{"image", "rm", "debian:12"}, "docker.io/library/debian:12", "no such image")
		shared := layer(t, file{Name: "f", Content: strings.Repeat("x", 2048), Mode: 0o644})
		one := r.Push(t, "one:1", imagetest.Image(t, v1.Config{Cmd: []string{"a"}}, shared))
		two := r.Push(t, "two:1", imagetest.Image(t, v1.Config{Cmd: []string{"b"}}, shared, layer(t, file{Name: "g", Content: "y", Mode: 0o644})))
		res := testenv.Run(t, "image", "pull", one, two)
		if res.Code != 0 || strings.Count(res.Stdout, "is in the store") != 2 || !strings.Contains(res.Stderr, "pull "+one) {
			t.Errorf("pull: %+v", res)
		}
		var pulled []image.Image
		if err := json.Unmarshal([]byte(testenv.Must(t, "image", "pull", "--json", one)), &pulled); err != nil || len(pulled) != 1 || pulled[0].Config.Command[0] != "a" {
			t.Errorf("pull --json: %+v, %v", pulled, err)
		}
		l := list(t)
		if len(l.Images) != 2 || l.Images[0].Name != one || l.Size != 2049 {
			t.Errorf("ls --json: %+v", l)
		}
		if table := testenv.Must(t, "image", "ls"); !strings.Contains(table, "IMAGE") || !strings.Contains(table, two) || !strings.Contains(table, "2 KiB") {
			t.Errorf("ls:\n%s", table)
		}
		// One that fails does not keep the others.
		fails(t, 4, []string{"image", "rm", one, r.Host + "/none:1"}, "none:1", "no such image")
		if l := list(t); len(l.Images) != 1 || l.Images[0].Name != two {
			t.Errorf("after rm: %+v", l)
		}
		testenv.Must(t, "image", "rm", two)
		fails(t, 4, []string{"image", "pull", r.Host + "/none:1"}, "no such image", "check its name")
		for _, wrong := range [][]string{{"pull"}, {"pull", "NoSuch:1"}, {"pull", "host"}, {"pull", "dir:/"}, {"rm", "oci:"}, {"import", "x"}, {"import", "/dev/null", "a b"}, {"plul"}, {"ls", "x"}} {
			fails(t, 2, append([]string{"image"}, wrong...), "--help")
		}
		if entries, err := os.ReadDir(filepath.Join(image.Dir, "layers")); err != nil || len(entries) != 0 {
			t.Errorf("left: %v, %v", entries, err)
		}
	})
}

func TestImport(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		emptyStore(t)
		path := save(t, imagetest.Image(t, v1.Config{}, layer(t, file{Name: "f", Content: "x"})))
		testenv.Must(t, "image", "import", path, "my/router:2")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		l := list(t)
		if len(l.Images) != 1 || l.Images[0].Name != "docker.io/my/router:2" || l.Images[0].Source != "docker-archive:"+path {
			t.Errorf("%+v", l)
		}
		testenv.Must(t, "image", "rm", "my/router:2")
	})
}

// An id stands for all images that have it, and for no other; what is no id is a name.
func TestRemoveByID(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		emptyStore(t)
		path := save(t, imagetest.Image(t, v1.Config{User: "7"}, layer(t, file{Name: "f", Content: "x"})))
		other := save(t, imagetest.Image(t, v1.Config{User: "8"}, layer(t, file{Name: "f", Content: "x"})))
		testenv.Must(t, "image", "import", path, "my/router:1")
		testenv.Must(t, "image", "import", path, "my/router:2")
		testenv.Must(t, "image", "import", other, "my/other:1")
		l := list(t)
		i := slices.IndexFunc(l.Images, func(i image.Image) bool { return i.Name == "docker.io/my/router:1" })
		id := l.Images[i].ID
		fails(t, 4, []string{"image", "rm", "sha256:" + strings.Repeat("0", 64)}, "no such image")
		fails(t, 4, []string{"image", "rm", id[len("sha256:"):][:11]}, "no such image")
		testenv.Must(t, "image", "rm", id[len("sha256:"):][:12])
		if l = list(t); len(l.Images) != 1 || l.Images[0].Name != "docker.io/my/other:1" {
			t.Errorf("left: %+v", l)
		}
		testenv.Must(t, "image", "rm", l.Images[0].ID)
	})
}

// Leftovers of a killed pull go with the next command, whichever it is.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := newRegistry(t)
		ref := r.Push(t, "one:1", imagetest.Image(t, v1.Config{}, layer(t, file{Name: "f", Content: "x"})))
		testenv.Must(t, "image", "pull", ref)
		layers := filepath.Join(image.Dir, "layers")
		hex := strings.Repeat("0", 64)
		for _, d := range []string{hex + ".part/fs/deep", hex + "/fs", strings.Repeat("1", 64) + ".part"} {
			if err := os.MkdirAll(filepath.Join(layers, d), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(layers, hex+".lock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		testenv.Must(t, "image", "ls")
		if entries, err := os.ReadDir(layers); err != nil || len(entries) != 1 {
			t.Errorf("in the store: %v, %v", entries, err)
		}
	})
}

// A real Docker Engine's images, by its socket and by what it saves.
func TestDocker(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		docker := testenv.Docker(t)
		emptyStore(t) // before Docker's end, which looks for what is left
		dir := t.TempDir()
		id := docker.Do(t, "create", "localhost/busybox", "sh")
		docker.Do(t, "commit", "--change", `CMD ["sleep", "7"]`, "--change", "ENV A=1", "--change", "WORKDIR /srv", id, "localhost/made:1")
		saved := filepath.Join(dir, "saved.tar")
		docker.Do(t, "save", "--output", saved, "localhost/made:1")
		testenv.Must(t, "image", "pull", "docker-daemon:localhost/made:1", "docker-archive:"+saved)
		l := list(t)
		if len(l.Images) != 2 || l.Images[0].ID != l.Images[1].ID {
			t.Fatalf("%+v", l)
		}
		want := docker.Do(t, "image", "inspect", "--format", "{{json .RootFS.Layers}}", "localhost/made:1")
		var diffIDs []string
		if err := json.Unmarshal([]byte(want), &diffIDs); err != nil {
			t.Fatal(err)
		}
		i := l.Images[0]
		if len(i.Layers) != len(diffIDs) || i.Layers[0].DiffID != diffIDs[0] {
			t.Errorf("layers %+v, and not %q", i.Layers, diffIDs)
		}
		if strings.Join(i.Config.Command, " ") != "sleep 7" || i.Config.Workdir != "/srv" || !strings.Contains(strings.Join(i.Config.Env, " "), "A=1") {
			t.Errorf("configuration %+v", i.Config)
		}
		if _, err := os.Stat(filepath.Join(image.Dir, "layers", strings.TrimPrefix(i.Layers[0].DiffID, "sha256:"), "fs/bin/busybox")); err != nil {
			t.Error(err)
		}
		fails(t, 4, []string{"image", "pull", "docker-daemon:none:1"}, "docker has no image none:1")
	})
}
