package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/image/registry"
	"github.com/nsnet/nsnet/topology"
)

// source is where an image comes from.
type source interface {
	// find gets all of the image save its layers.
	find(ctx context.Context) (*found, error)
	// layer opens layer i of what find has found.
	layer(ctx context.Context, i int) (io.ReadCloser, error)
	close()
}

// found is an image before its layers are there.
type found struct {
	manifest []byte       // nil where the source has none
	config   []byte       // verified, where there is a digest of it
	layers   []descriptor // as they travel, the lowest first; without a digest where the source has none
	stamp    string
}

// open begins to read from an image's source. Temporary files are made in dir.
func open(ctx context.Context, i topology.Image, o *PullOptions, dir string) (source, error) {
	switch i.Kind {
	case topology.ImageRegistry:
		r, err := topology.ParseReference(i.Name)
		if err != nil {
			return nil, err
		}
		creds := o.Credentials
		if creds == nil {
			creds = registry.DockerCredentials
		}
		return &remote{client: &registry.Client{Credentials: creds, Wait: o.Wait}, ref: r}, nil
	case topology.ImageOCI:
		return openLayout(i.Path, i.Name)
	case topology.ImageOCIArchive, topology.ImageDockerArchive:
		f, err := openFile(i.Path)
		if err != nil {
			return nil, missing(err)
		}
		a, err := openArchive(ctx, f, "")
		if err != nil {
			return nil, err
		}
		if i.Kind == topology.ImageOCIArchive || !a.has("manifest.json") && a.has("index.json") {
			return a.layout(i.Name), nil
		}
		return a, nil
	case topology.ImageDockerDaemon:
		f, err := saveFromDaemon(ctx, i.Name, dir)
		if err != nil {
			return nil, err
		}
		return openArchive(ctx, f, i.Name)
	}
	return nil, ErrMalformed
}

// missing is err, as that of an image that is not there where it is one of a file.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// openFile opens a file to read, and does not wait for whoever would write to it where it is a fifo.
func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
}

// stampOf tells whether a source has changed since it was read, without reading it; empty: there is no telling, as
// with registries and engines, whose images are asked for by pull.
func stampOf(i topology.Image) string {
	switch i.Kind {
	case topology.ImageOCI:
		b, err := readLayoutIndex(i.Path)
		if err != nil {
			return ""
		}
		return digestOf(b)
	case topology.ImageOCIArchive, topology.ImageDockerArchive:
		f, err := openFile(i.Path)
		if err != nil {
			return ""
		}
		defer f.Close()
		return fileStamp(f)
	}
	return ""
}

// remote is an image at a registry.
type remote struct {
	client *registry.Client
	ref    topology.Reference
	found  *found
}

func (r *remote) close() {}

func (r *remote) find(ctx context.Context) (*found, error) {
	b, err := r.client.Manifest(ctx, r.ref, "")
	if err != nil {
		return nil, err
	}
	if r.ref.Digest != "" {
		if err := verify("its manifest", r.ref.Digest, digestOf(b)); err != nil {
			return nil, err
		}
	}
	m, b, err := descend(b, func(d *descriptor) ([]byte, error) { return r.client.Manifest(ctx, r.ref, d.Digest) })
	if err != nil {
		return nil, err
	}
	body, err := r.client.Blob(ctx, r.ref, m.Config.Digest, m.Config.Size)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	config, err := readAll(body, maxConfig)
	if err != nil {
		return nil, err
	}
	r.found = &found{manifest: b, config: config, layers: m.Layers}
	return r.found, verify("its configuration", m.Config.Digest, digestOf(config))
}

func (r *remote) layer(ctx context.Context, i int) (io.ReadCloser, error) {
	d := r.found.layers[i]
	return r.client.Blob(ctx, r.ref, d.Digest, d.Size)
}

// descend goes from a manifest that may be an index down to the one of an image for this machine.
func descend(b []byte, get func(*descriptor) ([]byte, error)) (*manifest, []byte, error) {
	for range maxDepth {
		m, err := parseManifest(b)
		if err != nil {
			return nil, nil, err
		}
		if m.Config != nil {
			return m, b, nil
		}
		d, err := m.choose()
		if err != nil {
			return nil, nil, err
		}
		if b, err = get(d); err != nil {
			return nil, nil, err
		}
		if err := verify("its manifest", d.Digest, digestOf(b)); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, ErrMalformed
}
