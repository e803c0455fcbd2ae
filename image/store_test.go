package image

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/imagetest"
	"github.com/nsnet/nsnet/topology"
)

func TestStoreIsRootsAlone(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for _, d := range []string{".", "names", "blobs", "layers"} {
		st, err := os.Stat(filepath.Join(s.dir, d))
		if err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v %v", d, st.Mode(), err)
		}
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir); err == nil {
		t.Error("a store that all may enter was opened")
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(newStore(t).dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(link); err == nil {
		t.Error("a store behind a link was opened")
	}
}

func remove(s *Store, i topology.Image, users Users) error {
	_, err := s.Remove(context.Background(), i, users)
	return err
}

func TestRemove(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	shared := layerOf(t, map[string]string{"shared": "x"})
	one := r.push("one:1", imagetest.Image(t, v1.Config{}, shared, layerOf(t, map[string]string{"one": "x"})))
	two := r.push("two:1", imagetest.Image(t, v1.Config{}, shared, layerOf(t, map[string]string{"two": "x"})))
	first, second := pull(t, s, one), pull(t, s, two)
	mustEqual(t, "the shared layer", first.Layers[0].DiffID, second.Layers[0].DiffID)
	use := Use{Lab: "demo", Image: one.String(), Layers: []string{first.Layers[0].DiffID, first.Layers[1].DiffID}}
	users := func() ([]Use, error) { return []Use{use}, nil }
	if err := remove(s, one, users); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "demo") {
		t.Errorf("in use: %v", err)
	}
	if err := remove(s, two, users); err != nil {
		t.Error(err)
	}
	if _, err := s.Find(two); !errors.Is(err, ErrNotFound) {
		t.Errorf("what was removed: %v", err)
	}
	if _, err := os.Stat(s.layerDir(second.Layers[1].DiffID)); err == nil {
		t.Error("its own layer stays")
	}
	if found, err := s.Find(one); err != nil || content(found, "shared") != "x" {
		t.Errorf("the other one: %v", err)
	}
	if err := remove(s, two, nobody); !errors.Is(err, ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
	trouble := errors.New("trouble")
	if err := remove(s, one, func() ([]Use, error) { return nil, trouble }); !errors.Is(err, trouble) {
		t.Errorf("who uses it cannot be told: %v", err)
	}
	if err := remove(s, one, nobody); err != nil {
		t.Error(err)
	}
	checkWhole(t, s)
	if entries, _ := os.ReadDir(s.layers()); len(entries) != 0 {
		t.Errorf("%d layers of no image", len(entries))
	}
}

// A lab runs on from the layers that it has when its image is pulled anew.
func TestSweepKeepsWhatRuns(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	ref := r.push("img:1", threeLayers(t))
	old := pull(t, s, ref)
	pull(t, s, r.push("img:1", imagetest.Image(t, v1.Config{}, layerOf(t, map[string]string{"new": "x"}))))
	use := Use{Lab: "demo", Image: ref.String()}
	for _, l := range old.Layers {
		use.Layers = append(use.Layers, l.DiffID)
	}
	sweep(t, s, func() ([]Use, error) { return []Use{use}, nil })
	mustEqual(t, "a file of the old image", content(old, "low"), "1")
	sweep(t, s, nobody)
	mustEqual(t, "a file of the old image, without the lab", content(old, "low"), "")
	checkWhole(t, s)
}

// Nothing is removed while somebody uses the store.
func TestHold(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	ref := r.push("img:1", threeLayers(t))
	pull(t, s, ref)
	stray := filepath.Join(s.layers(), "stray.part")
	if err := os.Mkdir(stray, 0o700); err != nil {
		t.Fatal(err)
	}
	hold, err := s.Hold(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(nobody); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(stray); err != nil {
		t.Error("it was swept")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Remove(ctx, ref, nobody); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("remove: %v", err)
	}
	hold.Close()
	if err := remove(s, ref, nobody); err != nil {
		t.Error(err)
	}
	checkWhole(t, s)
}

func TestMissingLayer(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	ref := r.push("img:1", threeLayers(t))
	img := pull(t, s, ref)
	if err := os.RemoveAll(s.layerDir(img.Layers[1].DiffID)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find(ref); !errors.Is(err, ErrNotFound) {
		t.Errorf("with a layer lost: %v", err)
	}
	mustEqual(t, "the file, pulled again", content(pull(t, s, ref), "over"), "2")
}

// A record that cannot be read hides no other image, and keeps what may be its own from being removed.
func TestUnreadableRecord(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	kept, lost := r.push("kept:1", threeLayers(t)), r.push("lost:1", imagetest.Image(t, v1.Config{}, layerOf(t, map[string]string{"lost": "x"})))
	pull(t, s, kept)
	img := pull(t, s, lost)
	record := s.nameFile(lost.String())
	before, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(record, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := s.List(); err == nil || !strings.Contains(err.Error(), record) || len(all) != 1 || all[0].Name != kept.String() {
		t.Errorf("%+v, %v", all, err)
	}
	if err := remove(s, kept, nobody); err == nil || !strings.Contains(err.Error(), "pull the image again") {
		t.Errorf("remove: %v", err)
	}
	if err := os.WriteFile(record, before, 0o600); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "the file of the image whose record was lost", content(img, "lost"), "x")
	if _, err := s.Find(lost); err != nil {
		t.Error(err)
	}
}

func TestLayout(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), newStore(t)
	p, err := ocilayout.FromPath(dir)
	if err != nil {
		if p, err = ocilayout.Write(dir, empty.Index); err != nil {
			t.Fatal(err)
		}
	}
	add := func(ref, value string) {
		t.Helper()
		img := imagetest.Image(t, v1.Config{}, layerOf(t, map[string]string{"f": value}))
		if err := p.AppendImage(img, ocilayout.WithAnnotations(map[string]string{refName: ref})); err != nil {
			t.Fatal(err)
		}
	}
	add("v1", "1")
	mustEqual(t, "the only image", content(pull(t, s, parse(t, "oci:"+dir)), "f"), "1")
	if _, err := s.Find(parse(t, "oci:"+dir)); err != nil {
		t.Errorf("unchanged: %v", err)
	}
	add("v2", "2")
	if _, err := s.Find(parse(t, "oci:"+dir)); !errors.Is(err, ErrNotFound) {
		t.Errorf("the layout has changed: %v", err)
	}
	mustEqual(t, "the named image", content(pull(t, s, parse(t, "oci:"+dir+":v2")), "f"), "2")
	if _, err := s.Pull(context.Background(), parse(t, "oci:"+dir), PullOptions{}); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "v1") {
		t.Errorf("which of two: %v", err)
	}
	if _, err := s.Pull(context.Background(), parse(t, "oci:"+dir+":v3"), PullOptions{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("one it has not: %v", err)
	}
}

// layoutOf makes a layout whose images are named by these annotations, each with a file f that has the text beside it.
func layoutOf(t *testing.T, images map[string]map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	p, err := ocilayout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for value, annotations := range images {
		img := imagetest.Image(t, v1.Config{}, layerOf(t, map[string]string{"f": value}))
		if err := p.AppendImage(img, ocilayout.WithAnnotations(annotations)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Skopeo and buildah name images of a layout by whole references; Docker and containerd by the tag, and the reference beside it.
func TestLayoutOfReferences(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	whole := layoutOf(t, map[string]map[string]string{"1": {refName: "docker.io/library/one:1.0"}, "2": {refName: "docker.io/library/two:1.0"}})
	saved := layoutOf(t, map[string]map[string]string{"1": {refName: "1.0", containerdName: "docker.io/library/one:1.0"}, "2": {refName: "1.0", containerdName: "docker.io/library/two:1.0"}})
	for _, dir := range []string{whole, saved} {
		i := topology.Image{Kind: topology.ImageOCI, Path: dir, Name: "docker.io/library/two:1.0"}
		mustEqual(t, "the named image", content(pull(t, s, i), "f"), "2")
		if _, err := s.Find(i); err != nil {
			t.Error(err)
		}
		if _, err := s.Pull(t.Context(), parse(t, "oci:"+dir), PullOptions{}); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), `"docker.io/library/one:1.0" "docker.io/library/two:1.0"`) {
			t.Errorf("which of two: %v", err)
		}
	}
	tagged := layoutOf(t, map[string]map[string]string{"1": {refName: "1.0", containerdName: "docker.io/library/two:1.0"}, "2": {refName: "2.0", containerdName: "docker.io/library/two:2.0"}})
	for _, n := range []string{"2.0", "docker.io/library/two:2.0"} {
		mustEqual(t, n, content(pull(t, s, topology.Image{Kind: topology.ImageOCI, Path: tagged, Name: n}), "f"), "2")
	}
}

// packed makes an archive of a layout.
func packed(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "layout.tar")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

// An archive of a layout is one, named images included; nobody has to know which of the two kinds of archives a file is.
func TestLayoutArchive(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	one := packed(t, layoutOf(t, map[string]map[string]string{"1": nil}))
	i := parse(t, "oci-archive:"+one)
	got := pull(t, s, i)
	mustEqual(t, "f", content(got, "f"), "1")
	if got.Digest == "" {
		t.Error("without the digest of its manifest")
	}
	if _, err := s.Find(i); err != nil {
		t.Errorf("unchanged: %v", err)
	}
	mustEqual(t, "f of the same, taken for one of docker save", content(pull(t, s, parse(t, "docker-archive:"+one)), "f"), "1")
	two := packed(t, layoutOf(t, map[string]map[string]string{"1": {refName: "v1"}, "2": {refName: "v2"}}))
	mustEqual(t, "f of v2", content(pull(t, s, parse(t, "oci-archive:"+two+":v2")), "f"), "2")
	if err := os.Rename(two, one); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find(i); !errors.Is(err, ErrNotFound) {
		t.Errorf("the file has changed: %v", err)
	}
	file := filepath.Join(t.TempDir(), "docker.tar")
	if err := tarball.WriteToFile(file, name.MustParseReference("a:1"), threeLayers(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pull(t.Context(), parse(t, "oci-archive:"+file), PullOptions{}); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "no OCI image layout") {
		t.Errorf("one of docker save: %v", err)
	}
}

// An archive that is a fifo hangs nobody.
func TestArchiveIsFifo(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"docker-archive:", "oci-archive:"} {
		if _, err := newStore(t).Pull(t.Context(), parse(t, kind+fifo), PullOptions{}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// A layout is a directory of anybody's: a link in it leads nowhere else, and what is no file hangs nobody.
func TestHostileLayout(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	outside := filepath.Join(t.TempDir(), "index.json")
	if err := os.WriteFile(outside, []byte(`{"schemaVersion":2,"manifests":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	link, fifo := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(link, "index.json")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfifo", filepath.Join(fifo, "index.json")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for dir, want := range map[string]string{link: "escapes", fifo: "not a regular file"} {
		if _, err := s.Pull(context.Background(), parse(t, "oci:"+dir), PullOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, without %q", err, want)
		}
	}
}

func TestArchive(t *testing.T) {
	t.Parallel()
	s, file := newStore(t), filepath.Join(t.TempDir(), "image.tar")
	save := func(value string) {
		t.Helper()
		ref, err := name.ParseReference("example.org/img:1")
		if err != nil {
			t.Fatal(err)
		}
		img := imagetest.Image(t, v1.Config{Cmd: []string{value}}, layerOf(t, map[string]string{"f": value}), layerOf(t, map[string]string{"g": value}))
		if err := tarball.WriteToFile(file, ref, img); err != nil {
			t.Fatal(err)
		}
	}
	save("1")
	i := parse(t, "docker-archive:"+file)
	got := pull(t, s, i)
	mustEqual(t, "f g", content(got, "f")+content(got, "g")+got.Config.Command[0], "111")
	if _, err := s.Find(i); err != nil {
		t.Errorf("unchanged: %v", err)
	}
	save("2")
	if _, err := s.Find(i); !errors.Is(err, ErrNotFound) {
		t.Errorf("the file has changed: %v", err)
	}
	// Under a name of its own it does not matter what becomes of the file.
	as := parse(t, "example.org/img:1")
	if _, err := s.Pull(context.Background(), i, PullOptions{As: as.String()}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	found, err := s.Find(as)
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "f", content(found, "f"), "2")
	mustEqual(t, "the source", found.Source, i.String())
}

// Older versions of Docker save equal layers once, and symbolic links to them.
func TestArchiveWithLinks(t *testing.T) {
	t.Parallel()
	s, dir := newStore(t), t.TempDir()
	plain, linked := filepath.Join(dir, "plain.tar"), filepath.Join(dir, "linked.tar")
	ref, err := name.ParseReference("example.org/img:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(plain, ref, threeLayers(t)); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(linked)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	to, links := tar.NewWriter(out), 0
	for from := tar.NewReader(in); ; {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(h.Name, ".tar.gz") {
			links++
			link := &tar.Header{Name: h.Name, Typeflag: tar.TypeSymlink, Linkname: "elsewhere/../" + h.Name + ".real"}
			if err := to.WriteHeader(link); err != nil {
				t.Fatal(err)
			}
			h.Name += ".real"
		}
		if err := to.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(to, from); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.Close(); err != nil || links == 0 {
		t.Fatalf("%d links, %v", links, err)
	}
	got := pull(t, s, parse(t, "docker-archive:"+linked))
	mustEqual(t, "its files", content(got, "low")+content(got, "over")+content(got, "top"), "123")
}

// Of an archive of several images the one of the engine's name is taken; without a name there is no telling.
func TestArchiveOfSeveral(t *testing.T) {
	t.Parallel()
	file, all := filepath.Join(t.TempDir(), "images.tar"), map[name.Tag]v1.Image{}
	for _, n := range []string{"one", "two", "three"} {
		tag, err := name.NewTag("example.org/" + n + ":1")
		if err != nil {
			t.Fatal(err)
		}
		all[tag] = imagetest.Image(t, v1.Config{Cmd: []string{n}}, layerOf(t, map[string]string{"f": n}))
	}
	if err := tarball.MultiWriteToFile(file, all); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"one", "two", "three"} {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		a, err := openArchive(t.Context(), f, "example.org/"+n+":1")
		if err != nil {
			t.Fatal(err)
		}
		if found, err := a.find(t.Context()); err != nil || !strings.Contains(string(found.config), `"`+n+`"`) {
			t.Errorf("%s: %+v, %v", n, found, err)
		}
		a.close()
	}
	if _, err := newStore(t).Pull(t.Context(), parse(t, "docker-archive:"+file), PullOptions{}); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "save one alone") {
		t.Errorf("without a name: %v", err)
	}
}

// envKilled makes the test binary pull an image, to be killed.
const envKilled = "NSNET_TEST_PULL"

func TestPullToBeKilled(t *testing.T) {
	args := strings.Fields(os.Getenv(envKilled))
	if len(args) != 2 {
		return // TestKilledPulls is the test
	}
	s, err := Open(args[0])
	if err != nil {
		t.Fatal(err)
	}
	pull(t, s, parse(t, args[1]))
}

// Killed at any moment, a pull leaves a store in which everything is whole, and which the next pull completes.
func TestKilledPulls(t *testing.T) {
	t.Parallel()
	const kills = 60
	r := newRegistry(t)
	big := strings.Repeat("incompressible? no, but long ", 40000)
	ref := r.push("img:1", imagetest.Image(t, v1.Config{}, layerOf(t, map[string]string{"a": big, "b": "2"}), layerOf(t, map[string]string{"c": big + "3"})))
	s := newStore(t)
	hit, parts := 0, 0
	for k := range kills {
		requests, at := new(atomic.Int32), int32(1+k%4)
		kill := make(chan struct{}, 10)
		r.Front(func(http.ResponseWriter, *http.Request) bool {
			if requests.Add(1) == at {
				kill <- struct{}{}
			}
			return false
		})
		cmd := exec.Command(os.Args[0], "-test.run=^TestPullToBeKilled$", "-test.count=1")
		cmd.Env = append(os.Environ(), envKilled+"="+s.dir+" "+ref.String())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		var other *exec.Cmd // it does not matter to somebody else who pulls the same
		if k%2 == 1 {
			other = exec.Command(cmd.Path, cmd.Args[1:]...)
			other.Env = cmd.Env
			if err := other.Start(); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-kill:
			time.Sleep(time.Duration(k/10) * time.Millisecond)
			_ = cmd.Process.Kill()
			if err := <-ended; err != nil {
				hit++
			}
		case err := <-ended:
			if err != nil {
				t.Errorf("not killed, it failed: %v", err)
			}
		}
		if other != nil {
			if err := other.Wait(); err != nil {
				t.Errorf("a pull at the same time failed: %v", err)
			}
		}
		left, _ := filepath.Glob(filepath.Join(s.layers(), "*.part"))
		parts += len(left)
		// Whatever is there under a name is whole, and whatever has a layer's name is that layer.
		if found, err := s.Find(ref); err == nil {
			mustEqual(t, "the image after a kill", content(found, "b")+content(found, "c")[len(big):], "23")
			if err := remove(s, ref, nobody); err != nil {
				t.Fatal(err)
			}
		}
		if k%3 == 0 {
			// The next command, in the way of one that removes, or of one that pulls.
			sweep(t, s, nobody)
			checkWhole(t, s)
			continue
		}
		r.Front(nil)
		got := pull(t, s, ref)
		mustEqual(t, "the image", content(got, "b")+content(got, "c")[len(big):], "23")
		sweep(t, s, nobody)
		checkWhole(t, s)
		if err := remove(s, ref, nobody); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d kills hit a pull, and left %d layers half made", hit, kills, parts)
	if hit < kills/2 || parts == 0 {
		t.Error("too few kills for this to be a test")
	}
}
