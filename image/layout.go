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

// Annotations of a layout's images: what names them within it, and what containerd and Docker add, a whole reference.
const (
	refName        = "org.opencontainers.image.ref.name"
	containerdName = "io.containerd.image.name"
)

// layout is an image of an OCI image layout, which is a directory or an archive of one.
type layout struct {
	files files
	name  string
	found *found
}

// files are what a layout consists of, by their names in it.
type files interface {
	open(name string) (io.ReadCloser, error)
	stamp(index []byte) string
	close()
}

// directory is a layout's. It may be anybody's: what it has is opened within it.
type directory struct{ root *os.Root }

func (d directory) open(name string) (io.ReadCloser, error) {
	f, err := openRegular(d.root, name)
	if err != nil {
		return nil, err // and no file that is nil, and an interface that is not
	}
	return f, nil
}

func (d directory) stamp(index []byte) string { return digestOf(index) }
func (d directory) close()                    { d.root.Close() }

func openLayout(dir, name string) (*layout, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, missing(err)
	}
	return &layout{files: directory{root}, name: name}, nil
}

func (l *layout) close() { l.files.close() }

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
	f, err := l.files.open(name)
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
	stamp := l.files.stamp(b)
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
	names := layoutNames(all)
	known := slices.Compact(slices.Sorted(slices.Values(names)))
	if l.name == "" {
		if len(known) > 1 {
			return nil, fmt.Errorf("%w: the layout has images %q; say which, with a colon and the name behind the path", ErrMalformed, known)
		}
		return all, nil
	}
	var chosen []descriptor
	for i, d := range all {
		if names[i] == l.name || d.Annotations[refName] == l.name || d.Annotations[containerdName] == l.name {
			chosen = append(chosen, d)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("%w: the layout has no image %q; it has %q", ErrNotFound, l.name, known)
	}
	return chosen, nil
}

// layoutNames returns what tells a layout's images apart: the names within it, or whole references, where the images
// have them and several are of one name, as two of the tag latest.
func layoutNames(all []descriptor) []string {
	names, whole, references := make([]string, len(all)), make([]string, len(all)), map[string]string{}
	same := false
	for i, d := range all {
		names[i], whole[i] = d.Annotations[refName], d.Annotations[containerdName]
		other, known := references[names[i]]
		same = same || known && other != whole[i]
		references[names[i]] = whole[i]
	}
	if same && !slices.Contains(whole, "") {
		return whole
	}
	return names
}

func (l *layout) layer(_ context.Context, i int) (io.ReadCloser, error) {
	f, err := l.files.open(blobPath(l.found.layers[i].Digest))
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: the layout lacks the layer: %w", ErrMalformed, err)
	}
	return f, err
}
