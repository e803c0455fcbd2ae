package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/topology"
)

// MaxLayers bounds the layers of an image, as Docker does.
const MaxLayers = 127

// Limits of an image's own files.
const (
	maxConfig = 4 << 20
	maxDepth  = 3 // indexes in indexes
)

// descriptor refers to a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    *platform         `json:"platform"`
	Annotations map[string]string `json:"annotations"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

// manifest is an image's, or an index of several.
type manifest struct {
	Schema    int          `json:"schemaVersion"`
	Config    *descriptor  `json:"config"`
	Layers    []descriptor `json:"layers"`
	Manifests []descriptor `json:"manifests"`
}

// parseManifest understands a manifest or an index, and nothing that is both.
func parseManifest(b []byte) (*manifest, error) {
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: its manifest: %w", ErrMalformed, err)
	}
	all := slices.Concat(m.Layers, m.Manifests)
	switch {
	case m.Schema != 2:
		return nil, fmt.Errorf("%w: a manifest of version %d, and not 2", ErrMalformed, m.Schema)
	case (m.Config == nil) == (m.Manifests == nil):
		return nil, fmt.Errorf("%w: its manifest has neither an image nor a list of images, or both", ErrMalformed)
	case m.Config != nil:
		all = append(all, *m.Config)
	}
	for _, d := range all {
		if !topology.ValidDigest(d.Digest) || d.Size < 0 {
			return nil, fmt.Errorf("%w: its manifest refers to %q of %d bytes", ErrMalformed, d.Digest, d.Size)
		}
	}
	if len(m.Layers) > MaxLayers {
		return nil, fmt.Errorf("%w: %d layers, more than %d", ErrMalformed, len(m.Layers), MaxLayers)
	}
	return &m, nil
}

// choose finds the image of an index that is for this machine. Where indexes name none, or the only one names no
// platform, as layouts do, that one is it; its configuration is looked at later.
func (m *manifest) choose() (*descriptor, error) {
	var have []string
	for i := range m.Manifests {
		d := &m.Manifests[i]
		if d.Platform == nil {
			if len(m.Manifests) == 1 {
				return d, nil
			}
			continue
		}
		if d.Platform.OS == "linux" && d.Platform.Architecture == runtime.GOARCH {
			return d, nil
		}
		have = append(have, d.Platform.OS+"/"+d.Platform.Architecture)
	}
	return nil, fmt.Errorf("%w: it is for %s, and not for linux/%s", ErrPlatform, orNothing(have), runtime.GOARCH)
}

func orNothing(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(list))), ", ")
}

// configFile is the part of an image's configuration that matters here.
type configFile struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Config       struct {
		User         string
		Env          []string
		Entrypoint   []string
		Cmd          []string
		WorkingDir   string
		Volumes      map[string]struct{}
		ExposedPorts map[string]struct{}
		StopSignal   string
		Shell        []string
		Healthcheck  *healthcheck
	} `json:"config"`
	RootFS struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// parseConfig understands a configuration, and refuses what could not be a command's.
func parseConfig(b []byte) (*configFile, error) {
	var c configFile
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("%w: its configuration: %w", ErrMalformed, err)
	}
	if c.OS != "linux" || c.Architecture != runtime.GOARCH {
		return nil, fmt.Errorf("%w: it is for %s/%s, and not for linux/%s", ErrPlatform, c.OS, c.Architecture, runtime.GOARCH)
	}
	if n := len(c.RootFS.DiffIDs); n == 0 || n > MaxLayers {
		return nil, fmt.Errorf("%w: %d layers, and not 1 to %d", ErrMalformed, n, MaxLayers)
	}
	for _, d := range c.RootFS.DiffIDs {
		if !topology.ValidDigest(d) {
			return nil, fmt.Errorf("%w: its configuration names the layer %q", ErrMalformed, d)
		}
	}
	o := &c.Config
	texts := slices.Concat(o.Env, o.Entrypoint, o.Cmd, o.Shell, []string{o.User, o.WorkingDir}, slices.Collect(maps.Keys(o.Volumes)))
	if o.Healthcheck != nil {
		texts = append(texts, o.Healthcheck.Test...)
	}
	for _, s := range texts {
		if strings.IndexByte(s, 0) >= 0 {
			return nil, fmt.Errorf("%w: a zero byte in its configuration", ErrMalformed)
		}
	}
	for _, e := range o.Env {
		if key, _, ok := strings.Cut(e, "="); !ok || key == "" {
			return nil, fmt.Errorf("%w: its environment has %q", ErrMalformed, e)
		}
	}
	if strings.ContainsAny(o.User, " \t\n/") || strings.HasPrefix(o.User, ":") || strings.Count(o.User, ":") > 1 {
		return nil, fmt.Errorf("%w: its user is %q", ErrMalformed, o.User)
	}
	o.User = strings.TrimSuffix(o.User, ":")
	if o.StopSignal != "" {
		n, err := topology.ParseSignal(o.StopSignal)
		if err != nil {
			return nil, fmt.Errorf("%w: its stop signal %q %w", ErrMalformed, o.StopSignal, err)
		}
		o.StopSignal = topology.SignalName(n)
	}
	if o.WorkingDir != "" {
		o.WorkingDir = path.Clean("/" + o.WorkingDir)
	}
	return &c, nil
}

func (c *configFile) public() Config {
	o := &c.Config
	var volumes []string
	for v := range o.Volumes {
		// The root has no need to be made.
		if v = path.Clean("/" + v); v != "/" && !slices.Contains(volumes, v) {
			volumes = append(volumes, v)
		}
	}
	slices.Sort(volumes)
	return Config{Entrypoint: o.Entrypoint, Command: o.Cmd, Env: o.Env, User: o.User, Workdir: o.WorkingDir,
		Volumes: volumes, Ports: slices.Sorted(maps.Keys(o.ExposedPorts)), StopSignal: o.StopSignal, Health: o.Healthcheck.public(o.Shell)}
}

// digestOf is the digest of b.
func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ShortID is enough of a digest for people.
func ShortID(digest string) string {
	const prefix, enough = len("sha256:"), 12
	if len(digest) < prefix+enough {
		return digest
	}
	return digest[prefix : prefix+enough]
}

// verify compares a digest with the one that was promised.
func verify(what, want, got string) error {
	if want != got {
		return fmt.Errorf("%w: %s should be %s and is %s", ErrDigest, what, want, got)
	}
	return nil
}

// readAll reads at most limit bytes.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%w: a file of its own is larger than %d MiB", ErrMalformed, limit>>20)
	}
	return b, err
}
