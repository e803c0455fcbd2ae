package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// refName is the annotation that names an image of a layout.
const refName = "org.opencontainers.image.ref.name"

// layout is an image of an OCI image layout. The directory may be anybody's: what it has is opened within it.
type layout struct {
	root  *os.Root
	name  string
	found *found
}

func openLayout(dir, name string) (*layout, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &layout{root: root, name: name}, nil
}

func (l *layout) close() { l.root.Close() }

// openRegular opens a file of the layout, and nothing that would hang or never end.
func openRegular(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is not a regular file", ErrMalformed, name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (l *layout) read(name string) ([]byte, error) {
	f, err := openRegular(l.root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, maxConfig)
}

// readLayoutIndex is the file that names a layout's images.
func readLayoutIndex(dir string) ([]byte, error) {
	l, err := openLayout(dir, "")
	if err != nil {
		return nil, err
	}
	defer l.close()
	return l.read("index.json")
}

func blobPath(digest string) string { return "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:") }

func (l *layout) find(context.Context) (*found, error) {
	b, err := l.read("index.json")
	if err != nil {
		return nil, fmt.Errorf("%w: no OCI image layout: %w", ErrMalformed, err)
	}
	stamp := digestOf(b)
	index, err := parseManifest(b)
	if err != nil {
		return nil, err
	}
	if index.Manifests == nil {
		return nil, fmt.Errorf("%w: the layout's index.json lists no images", ErrMalformed)
	}
	if index.Manifests, err = l.named(index.Manifests); err != nil {
		return nil, err
	}
	d, err := index.choose()
	if err != nil {
		return nil, err
	}
	get := func(d *descriptor) ([]byte, error) { return l.read(blobPath(d.Digest)) }
	if b, err = get(d); err != nil {
		return nil, err
	}
	if err := verify("its manifest", d.Digest, digestOf(b)); err != nil {
		return nil, err
	}
	m, b, err := descend(b, get)
	if err != nil {
		return nil, err
	}
	config, err := get(m.Config)
	if err != nil {
		return nil, err
	}
	l.found = &found{manifest: b, config: config, layers: m.Layers, stamp: stamp}
	return l.found, verify("its configuration", m.Config.Digest, digestOf(config))
}

// named leaves the images of the name that is asked for, or all where they have but one name.
func (l *layout) named(all []descriptor) ([]descriptor, error) {
	var names []string
	for _, d := range all {
		names = append(names, d.Annotations[refName])
	}
	known := slices.Compact(slices.Sorted(slices.Values(names)))
	if l.name == "" {
		if len(known) > 1 {
			return nil, fmt.Errorf("%w: the layout has images %q; say which, as oci:DIR:NAME", ErrMalformed, known)
		}
		return all, nil
	}
	chosen := slices.DeleteFunc(slices.Clone(all), func(d descriptor) bool { return d.Annotations[refName] != l.name })
	if len(chosen) == 0 {
		return nil, fmt.Errorf("%w: the layout has no image %q; it has %q", ErrNotFound, l.name, known)
	}
	return chosen, nil
}

func (l *layout) layer(_ context.Context, i int) (io.ReadCloser, error) {
	f, err := openRegular(l.root, blobPath(l.found.layers[i].Digest))
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: the layout lacks the layer: %w", ErrMalformed, err)
	}
	return f, err
}
