package image

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	registryclient "github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/image/unpack"
	"github.com/nsnet/nsnet/internal/imagetest"
)

func TestPull(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	ref := r.push("some/image:1", threeLayers(t))
	if _, err := s.Find(ref); !errors.Is(err, ErrNotFound) {
		t.Errorf("before it is pulled: %v", err)
	}
	var progress []string
	got, err := s.Pull(context.Background(), ref, PullOptions{Progress: func(done, total int) { progress = append(progress, fmt.Sprint(done, "/", total)) }})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Entrypoint: []string{"/init"}, Command: []string{"-v"}, Env: []string{"A=1"}, User: "daemon", Workdir: "/srv", Volumes: []string{"/b", "/data"}, Ports: []string{"53/udp", "80/tcp"}}
	mustEqual(t, "the configuration", fmt.Sprint(got.Config), fmt.Sprint(want))
	mustEqual(t, "progress", strings.Join(progress, " "), "0/3 1/3 2/3 3/3")
	for file, want := range map[string]string{"low": "1", "over": "2", "top": "3", "none": ""} {
		mustEqual(t, file, content(got, file), want)
	}
	found, err := s.Find(ref)
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "what is found", fmt.Sprint(found.Layers, found.ID, found.Digest, found.Config), fmt.Sprint(got.Layers, got.ID, got.Digest, got.Config))

	blobs := r.Asked("/blobs/")
	pull(t, s, ref)
	if n := r.Asked("/blobs/") - blobs; n != 1 {
		t.Errorf("a second pull asked for %d blobs, and not the configuration alone", n)
	}
	// By its digest it is another name for the same.
	pinned := parse(t, r.Host+"/some/image@"+got.Digest)
	mustEqual(t, "the id by digest", pull(t, s, pinned).ID, got.ID)
	sweep(t, s, nobody)
	checkWhole(t, s)
}

// A layer is the same however it travels.
func TestZstd(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	files := map[string]string{"f": strings.Repeat("content", 1000)}
	gz := pull(t, s, r.push("gzip:1", imagetest.Image(t, v1.Config{}, layerOf(t, files))))
	layer := layerOf(t, files, tarball.WithCompression(compression.ZStd))
	body, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	magic := make([]byte, 2)
	if _, err := io.ReadFull(body, magic); err != nil || string(magic) != "\x28\xb5" {
		t.Fatalf("it is not compressed with zstd: %x, %v", magic, err)
	}
	zst := pull(t, s, r.push("zstd:1", imagetest.Image(t, v1.Config{}, layer)))
	mustEqual(t, "the layer", zst.Layers[0].DiffID, gz.Layers[0].DiffID)
	other := newStore(t)
	mustEqual(t, "f", content(pull(t, other, parse(t, r.Host+"/zstd:1")), "f"), files["f"])
}

// Of an index of several platforms this machine's is taken, and where there is none that is said.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	foreign := "s390x"
	index := func(arch ...string) v1.ImageIndex {
		var all []mutate.IndexAddendum
		for _, a := range arch {
			img := imagetest.Image(t, v1.Config{}, layerOf(t, map[string]string{"arch": a}))
			all = append(all, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: a}}})
		}
		return mutate.AppendManifests(empty.Index, all...)
	}
	for tag, i := range map[string]v1.ImageIndex{"both": index(foreign, runtime.GOARCH), "foreign": index(foreign)} {
		ref, err := name.ParseReference(r.Host + "/multi:" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := registryclient.WriteIndex(ref, i); err != nil {
			t.Fatal(err)
		}
	}
	mustEqual(t, "the platform", content(pull(t, s, parse(t, r.Host+"/multi:both")), "arch"), runtime.GOARCH)
	// Without an index the configuration says it.
	img := imagetest.Image(t, v1.Config{}, layerOf(t, map[string]string{"arch": foreign}))
	f, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	f = f.DeepCopy()
	f.Architecture = foreign
	if img, err = mutate.ConfigFile(img, f); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pull(context.Background(), r.push("alone:1", img), PullOptions{}); !errors.Is(err, ErrPlatform) || !strings.Contains(err.Error(), "linux/"+foreign) {
		t.Errorf("an image of another machine: %v", err)
	}
	// The index is who says what this machine's manifest is.
	own := index(runtime.GOARCH)
	manifest, err := own.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(r.Host + "/multi:own")
	if err != nil {
		t.Fatal(err)
	}
	if err := registryclient.WriteIndex(ref, own); err != nil {
		t.Fatal(err)
	}
	child, err := own.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := child.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	r.Front(tampered("/manifests/"+manifest.Manifests[0].Digest.String(), func(b []byte) []byte { return append(slices.Clone(b), ' ') }, func(string) []byte { return raw }))
	if _, err := s.Pull(context.Background(), parse(t, r.Host+"/multi:own"), PullOptions{}); !errors.Is(err, ErrDigest) {
		t.Errorf("a manifest that the index does not name: %v", err)
	}
	r.Front(nil)
	_, err = s.Pull(context.Background(), parse(t, r.Host+"/multi:foreign"), PullOptions{})
	if !errors.Is(err, ErrPlatform) || !strings.Contains(err.Error(), "linux/"+foreign) {
		t.Errorf("the error is %v", err)
	}
}

// tampered serves other bytes for one path of the registry.
func tampered(path string, change func([]byte) []byte, inner func(string) []byte) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodGet || !strings.HasSuffix(req.URL.Path, path) {
			return false
		}
		_, _ = w.Write(change(inner(req.URL.Path)))
		return true
	}
}

// What is not what its digest says is refused, whoever says so, and nothing of it stays.
func TestTampering(t *testing.T) {
	t.Parallel()
	flip := func(b []byte) []byte { b = slices.Clone(b); b[len(b)/2] ^= 1; return b }
	longer := func(b []byte) []byte { return append(slices.Clone(b), make([]byte, 100)...) }
	r := newRegistry(t)
	img := threeLayers(t)
	tagged := r.push("img:1", img)
	digest, _ := img.Digest()
	pinned := parse(t, r.Host+"/img@"+digest.String())
	manifest, _ := img.Manifest()
	get := func(path string) []byte {
		res, err := http.Get(r.URL + path)
		if err != nil {
			t.Error(err)
			return nil
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return b
	}
	layer := manifest.Layers[1].Digest.String()
	for name, c := range map[string]struct {
		path   string
		change func([]byte) []byte
		pinned bool
	}{
		"manifest":      {"/manifests/" + digest.String(), func(b []byte) []byte { return append(b, ' ') }, true},
		"configuration": {"/blobs/" + manifest.Config.Digest.String(), func(b []byte) []byte { return append(b, ' ') }, false},
		"layer":         {"/blobs/" + layer, flip, false},
		"longer layer":  {"/blobs/" + layer, longer, false},
		// Byte 9 of gzip's header is nobody's business: what comes out is the same.
		"other gzip":  {"/blobs/" + layer, func(b []byte) []byte { b = slices.Clone(b); b[9] ^= 1; return b }, false},
		"other layer": {"/blobs/" + layer, func([]byte) []byte { return get("/v2/img/blobs/" + manifest.Layers[2].Digest.String()) }, false},
	} {
		content := get("/v2/img" + c.path)
		r.Front(tampered(c.path, c.change, func(string) []byte { return content }))
		s, i := newStore(t), tagged
		if c.pinned {
			i = pinned
		}
		_, err := s.Pull(context.Background(), i, PullOptions{})
		r.Front(nil)
		// A flipped bit may break the compression before the digest is known.
		if err == nil || !errors.Is(err, ErrDigest) && name != "layer" {
			t.Errorf("%s: the error is %v", name, err)
		}
		if parts, err := filepath.Glob(filepath.Join(s.layers(), "*.part")); err != nil || len(parts) > 0 {
			t.Errorf("%s: %q is left, %v", name, parts, err)
		}
		sweep(t, s, nobody)
		checkWhole(t, s)
	}
	pull(t, newStore(t), pinned)
}

// lying is a layer whose configuration says another digest than its content has.
type lying struct{ v1.Layer }

func (lying) DiffID() (v1.Hash, error) {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256([]byte("another")))}, nil
}

// short is an image whose manifest has a layer less than its configuration.
type short struct{ v1.Image }

func (s short) RawManifest() ([]byte, error) {
	m, err := s.Image.Manifest()
	if err != nil {
		return nil, err
	}
	m = m.DeepCopy()
	m.Layers = m.Layers[1:]
	return json.Marshal(m)
}

func TestLayersThatDoNotAgree(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	img := threeLayers(t)
	r.push("img:1", img) // so that all of it is there but for the manifest
	raw, err := short{img}.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	r.Front(tampered("/manifests/1", func(b []byte) []byte { return b }, func(string) []byte { return raw }))
	if _, err := s.Pull(context.Background(), parse(t, r.Host+"/img:1"), PullOptions{}); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "2 layers, its configuration 3") {
		t.Errorf("the error is %v", err)
	}
}

// Layers are fetched and unpacked side by side: the first waits here for another to be asked for.
func TestLayersAtOnce(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	img := threeLayers(t)
	ref := r.push("img:1", img)
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	two := make(chan struct{})
	r.Front(func(_ http.ResponseWriter, req *http.Request) bool {
		for _, l := range manifest.Layers {
			if strings.HasSuffix(req.URL.Path, l.Digest.String()) {
				if asked.Add(1) == 2 {
					close(two)
				}
				select {
				case <-two:
				case <-time.After(20 * time.Second):
					t.Error("one layer is asked for at a time")
				}
			}
		}
		return false
	})
	pull(t, s, ref)
}

func TestWrongDiffID(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	ref := r.push("lying:1", imagetest.Image(t, v1.Config{}, lying{layerOf(t, map[string]string{"a": "b"})}))
	_, err := s.Pull(context.Background(), ref, PullOptions{})
	if !errors.Is(err, ErrDigest) || !strings.Contains(err.Error(), "lying") || !strings.Contains(err.Error(), "layer ") {
		t.Errorf("the error is %v", err)
	}
	sweep(t, s, nobody)
	checkWhole(t, s)
}

// A layer that breaks out, or swells up, is the end of the pull, and leaves nothing.
func TestHostileLayer(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	for name, c := range map[string]struct {
		file   string
		limits unpack.Limits
		want   error
	}{
		"out":  {"../../../canary", unpack.Limits{}, unpack.ErrRefused},
		"bomb": {"big", unpack.Limits{Size: 1000}, unpack.ErrLimit},
		// Each of the two layers is small enough, and both together are not.
		"both": {"big", unpack.Limits{Image: 6000, Size: 9000}, unpack.ErrLimit},
	} {
		s := newStore(t)
		ref := r.push(name+":1", imagetest.Image(t, v1.Config{}, layerOf(t, map[string]string{"good": strings.Repeat("y", 2000)}), layerOf(t, map[string]string{c.file: strings.Repeat("x", 5000)})))
		if _, err := s.Pull(context.Background(), ref, PullOptions{Limits: c.limits}); !errors.Is(err, c.want) {
			t.Errorf("%s: the error is %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(s.dir, "..", "canary")); err == nil {
			t.Errorf("%s: there is a file outside", name)
		}
		sweep(t, s, nobody)
		checkWhole(t, s)
	}
}

// Eight at once fetch each layer once, and all have the image.
func TestConcurrentPulls(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	img := threeLayers(t)
	ref := r.push("img:1", img)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			own, err := Open(s.dir) // as another process would
			if err != nil {
				t.Error(err)
				return
			}
			got, err := own.Pull(context.Background(), ref, PullOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			if content(got, "low")+content(got, "over")+content(got, "top") != "123" {
				t.Error("it is not whole")
			}
		})
	}
	wg.Wait()
	manifest, _ := img.Manifest()
	for _, l := range manifest.Layers {
		if n := r.Asked(l.Digest.String()); n != 1 {
			t.Errorf("layer %s was fetched %d times", l.Digest, n)
		}
	}
	sweep(t, s, nobody)
	checkWhole(t, s)
}

// Who looks through the store while a layer is on its way removes nothing of it.
func TestSweepDuringPull(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	img := threeLayers(t)
	ref := r.push("img:1", img)
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	swept := make(chan error, len(manifest.Layers))
	r.Front(func(_ http.ResponseWriter, req *http.Request) bool {
		for _, l := range manifest.Layers {
			if strings.HasSuffix(req.URL.Path, l.Digest.String()) {
				swept <- s.Sweep(nobody)
			}
		}
		return false
	})
	got := pull(t, s, ref)
	for range manifest.Layers {
		if err := <-swept; err != nil {
			t.Error(err)
		}
	}
	mustEqual(t, "its files", content(got, "low")+content(got, "over")+content(got, "top"), "123")
	sweep(t, s, nobody)
	checkWhole(t, s)
}

// An image may have a layer twice; overlayfs takes no directory twice.
func TestSameLayerTwice(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	a, b := layerOf(t, map[string]string{"f": "a"}), layerOf(t, map[string]string{"f": "b", "g": "b"})
	got := pull(t, s, r.push("img:1", imagetest.Image(t, v1.Config{}, a, b, a)))
	mustEqual(t, "layers", len(got.Layers), 3)
	mustEqual(t, "directories", len(got.Dirs()), 2)
	mustEqual(t, "f", content(got, "f"), "a")
	mustEqual(t, "g", content(got, "g"), "b")
}

// What a failed or cancelled pull finds under the name stays.
func TestFailedPullKeepsTheOld(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	old := pull(t, s, r.push("img:1", threeLayers(t)))
	ref := r.push("img:1", imagetest.Image(t, v1.Config{}, layerOf(t, map[string]string{"new": "x"}), layerOf(t, map[string]string{"../x": "x"})))
	if _, err := s.Pull(context.Background(), ref, PullOptions{}); err == nil {
		t.Fatal("a hostile image was pulled")
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	r.Front(func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.Contains(req.URL.Path, "/blobs/") {
			cancel(cause)
			<-req.Context().Done()
		}
		return false
	})
	if _, err := s.Pull(ctx, ref, PullOptions{}); !errors.Is(err, cause) {
		t.Errorf("cancelled: %v", err)
	}
	found, err := s.Find(ref)
	if err != nil || found.ID != old.ID {
		t.Errorf("%v, %v", found, err)
	}
	sweep(t, s, nobody)
	checkWhole(t, s)
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	for ref, want := range map[string]string{
		r.Host + "/none:1":          "image " + r.Host + "/none:1: find: no such image",
		"127.0.0.1:1/none:1":        "check the network",
		"oci:/nonexistent":          "no such image: open /nonexistent: no such file",
		"docker-archive:/dev/null":  "not a regular file",
		"docker-archive:/etc/fstab": "docker save",
	} {
		if _, err := s.Pull(context.Background(), parse(t, ref), PullOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, without %q", ref, err, want)
		}
	}
}

// The remedy is that of what failed: a file's error is not the network's, nor a layout's a lack of Docker.
func TestExplain(t *testing.T) {
	t.Parallel()
	refused := os.NewSyscallError("connect", unix.ECONNREFUSED)
	for _, tt := range []struct {
		err  error
		want string // empty: no remedy
	}{
		{&fs.PathError{Op: "open", Path: "/none", Err: unix.ENOENT}, ""},
		{fmt.Errorf("create a temporary file: %w", unix.EACCES), ""},
		{fmt.Errorf("%w: the layout has no image", ErrNotFound), ""},
		{&fs.PathError{Op: "write", Path: "/f", Err: unix.ENOSPC}, "make room"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: refused}, "check the network"},
		{&net.DNSError{Err: "no such host", Name: "none"}, "check the network"},
		{context.DeadlineExceeded, "check the network"},
		{fmt.Errorf("docker does not run: %w", &net.OpError{Op: "dial", Net: "unix", Err: refused}), "start Docker"},
	} {
		var e *Error
		if err := explain("x", "find", tt.err); !errors.As(err, &e) || !strings.Contains(e.Remedy, tt.want) || tt.want == "" && e.Remedy != "" {
			t.Errorf("%v: %v, and not with %q", tt.err, err, tt.want)
		}
	}
}
