package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/nsnet/nsnet/internal/imagetest"
	"github.com/nsnet/nsnet/topology"
)

// seeds are an image's own manifest, configuration and index, and some that are none.
func seeds(f *testing.F) {
	f.Helper()
	img := imagetest.Image(f, v1.Config{Entrypoint: []string{"/init"}, Env: []string{"A=1"}, User: "u:g", WorkingDir: "/srv/../x",
		Volumes: map[string]struct{}{"/data": {}}}, layerOf(f, map[string]string{"f": "x"}))
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})
	for _, raw := range []func() ([]byte, error){img.RawManifest, img.RawConfigFile, index.RawManifest} {
		b, err := raw()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{"", "{}", "[]", `{"schemaVersion":2,"manifests":[]}`, `{"schemaVersion":2,"config":{},"layers":null}`, `{"schemaVersion":1,"config":null}`,
		`{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x","size":-1}]}`,
		`{"os":"linux","architecture":"` + runtime.GOARCH + `","config":{"User":"a:b:c","Env":["="],"WorkingDir":"../.."},"rootfs":{"diff_ids":["sha256:x"]}}`,
		strings.Repeat("[", 20000), `{"config":{"Env":["\u0000"]}}`} {
		f.Add([]byte(s))
	}
}

// FuzzManifest: what is taken for a manifest or an index refers to nothing but digests, and to a bounded number of layers.
func FuzzManifest(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b)
		if err != nil {
			return
		}
		all := append(m.Layers[:len(m.Layers):len(m.Layers)], m.Manifests...)
		if m.Config != nil {
			all = append(all, *m.Config)
			if m.Manifests != nil || len(m.Layers) > MaxLayers {
				t.Errorf("an image and a list of images, or %d layers", len(m.Layers))
			}
		} else if d, err := m.choose(); err == nil && !topology.ValidDigest(d.Digest) {
			t.Errorf("it chose %q", d.Digest)
		}
		for _, d := range all {
			if !topology.ValidDigest(d.Digest) || d.Size < 0 || !filepath.IsLocal(blobPath(d.Digest)) {
				t.Errorf("it refers to %q of %d bytes", d.Digest, d.Size)
			}
		}
	})
}

// FuzzConfig: what is taken for a configuration can be a command's, and survives the store.
func FuzzConfig(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseConfig(b)
		if err != nil {
			return
		}
		p := c.public()
		for _, s := range append(append(append([]string{p.User, p.Workdir}, p.Env...), p.Entrypoint...), p.Command...) {
			if strings.ContainsRune(s, 0) {
				t.Errorf("a zero byte in %q", s)
			}
		}
		if p.Workdir != "" && (!path.IsAbs(p.Workdir) || path.Clean(p.Workdir) != p.Workdir) {
			t.Errorf("the working directory is %q", p.Workdir)
		}
		if strings.ContainsAny(p.User, "/ \n") || strings.HasPrefix(p.User, ":") {
			t.Errorf("the user is %q", p.User)
		}
		for _, v := range p.Volumes {
			if !path.IsAbs(v) || path.Clean(v) != v || strings.ContainsRune(v, 0) {
				t.Errorf("a volume %q", v)
			}
		}
		for _, d := range c.RootFS.DiffIDs {
			if !topology.ValidDigest(d) {
				t.Errorf("a layer %q", d)
			}
		}
		stored, err := json.Marshal(p)
		var again Config
		if err == nil {
			err = json.Unmarshal(stored, &again)
		}
		if err != nil || len(again.Env) != len(p.Env) {
			t.Errorf("it does not survive the store: %v", err)
		}
	})
}

// FuzzArchive: of an archive of docker save nothing is read that is not in it, and not much.
func FuzzArchive(f *testing.F) {
	add := func(files ...string) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for i := 0; i+1 < len(files); i += 2 {
			h := &tar.Header{Typeflag: tar.TypeReg, Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}
			if target, ok := strings.CutPrefix(files[i+1], "-> "); ok {
				h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, target, 0
				files[i+1] = ""
			}
			if err := w.WriteHeader(h); err != nil {
				f.Fatal(err)
			}
			if _, err := io.WriteString(w, files[i+1]); err != nil {
				f.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	const manifest = `[{"Config":"c","RepoTags":["a:1"],"Layers":["l"]}]`
	add("manifest.json", manifest, "c", "{}", "l", "layer")
	add("c", "{}", "l", "-> c", "manifest.json", manifest)
	add("manifest.json", manifest, "l", "-> l", "c", "-> ../../etc/passwd")
	add("manifest.json", `[{"Config":"/etc/passwd","Layers":["../l"]}]`)
	add("manifest.json", `[{},{}]`)
	add()
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(t.TempDir(), "archive")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		a, err := openArchive(context.Background(), file, "")
		if err != nil {
			return
		}
		defer a.close()
		found, err := a.find(context.Background())
		if err != nil {
			return
		}
		if len(found.config) > maxConfig || len(found.layers) > MaxLayers {
			t.Errorf("a configuration of %d bytes, %d layers", len(found.config), len(found.layers))
		}
		for i := range found.layers {
			r, err := a.layer(context.Background(), i)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err == nil && !bytes.Contains(b, got) {
				t.Errorf("layer %d is not in the archive", i)
			}
		}
	})
}
