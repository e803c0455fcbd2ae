package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/topology"
)

// maxMembers is how many files an archive of an image may have. A layer is at most three of them.
const maxMembers = 4096

// archive is what docker save writes: a tar of manifest.json, a configuration, and layers, each a tar of its own.
type archive struct {
	file    *os.File
	name    string // the engine's name of the image; empty: the only one
	members map[string]member
	layers  []member
}

// member is a file of the archive, where it lies.
type member struct {
	offset, size int64
	link         string // symbolic, to another member: older versions of Docker save equal layers once
}

// openArchive takes over f, which must be a file that can be read from anywhere.
func openArchive(ctx context.Context, f *os.File, name string) (*archive, error) {
	a := &archive{file: f, name: name, members: map[string]member{}}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%w: not a regular file", ErrMalformed)
	}
	if err == nil {
		err = a.index(ctx)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return a, nil
}

func (a *archive) close() { a.file.Close() }

// has reports whether the archive has a member of this name.
func (a *archive) has(name string) bool {
	_, ok := a.members[name]
	return ok
}

// layout returns the image of a layout that the archive is of; closing it closes the archive.
func (a *archive) layout(name string) *layout { return &layout{files: archived{a}, name: name} }

// archived is a layout's directory in an archive.
type archived struct{ a *archive }

func (f archived) open(name string) (io.ReadCloser, error) {
	m, err := f.a.member(name)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.NewSectionReader(f.a.file, m.offset, m.size)), nil
}

func (f archived) stamp([]byte) string { return fileStamp(f.a.file) }
func (f archived) close()              { f.a.close() }

// fileStamp changes when a file is written anew.
func fileStamp(f *os.File) string {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return ""
	}
	return fmt.Sprintf("%d %d %d %d", st.Dev, st.Ino, st.Size, st.Mtim.Nano())
}

// index notes where each member lies. The tar reader reads no further than it must, and skips by seeking.
func (a *archive) index(ctx context.Context) error {
	if _, err := a.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	t := tar.NewReader(a.file)
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: no uncompressed tar archive, as docker save and skopeo write: %w", ErrMalformed, err)
		}
		if n > maxMembers {
			return fmt.Errorf("%w: the archive has more than %d members", ErrMalformed, maxMembers)
		}
		at, err := a.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		m := member{offset: at, size: h.Size}
		switch h.Typeflag {
		case tar.TypeReg:
		case tar.TypeSymlink:
			m = member{link: path.Join(path.Dir(h.Name), h.Linkname)}
		case tar.TypeLink:
			m = member{link: path.Clean(h.Linkname)}
		default:
			continue
		}
		a.members[path.Clean(h.Name)] = m
	}
}

// member finds a file by its name.
func (a *archive) member(name string) (member, error) {
	name = path.Clean(name)
	for range 4 {
		m, ok := a.members[name]
		if !ok {
			return m, fmt.Errorf("%w: the archive lacks %q", ErrMalformed, name)
		}
		if m.link == "" {
			return m, nil
		}
		name = m.link
	}
	return member{}, fmt.Errorf("%w: %q is a link to a link to a link", ErrMalformed, name)
}

func (a *archive) read(name string) ([]byte, error) {
	m, err := a.member(name)
	if err != nil {
		return nil, err
	}
	if m.size > maxConfig {
		return nil, fmt.Errorf("%w: %q has %d bytes", ErrMalformed, name, m.size)
	}
	b := make([]byte, m.size)
	_, err = a.file.ReadAt(b, m.offset)
	return b, err
}

// saved is an image in manifest.json.
type saved struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (a *archive) find(context.Context) (*found, error) {
	b, err := a.read("manifest.json")
	if err != nil {
		return nil, err
	}
	var all []saved
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("%w: its manifest.json: %w", ErrMalformed, err)
	}
	one, err := a.choose(all)
	if err != nil {
		return nil, err
	}
	if len(one.Layers) > MaxLayers {
		return nil, fmt.Errorf("%w: %d layers, more than %d", ErrMalformed, len(one.Layers), MaxLayers)
	}
	config, err := a.read(one.Config)
	if err != nil {
		return nil, err
	}
	f := &found{config: config, stamp: fileStamp(a.file)}
	for _, name := range one.Layers {
		m, err := a.member(name)
		if err != nil {
			return nil, err
		}
		a.layers = append(a.layers, m)
		f.layers = append(f.layers, descriptor{Size: m.size})
	}
	return f, nil
}

// choose finds the image that is meant: the only one, or the one of the engine's name.
func (a *archive) choose(all []saved) (saved, error) {
	var names []string
	for _, s := range all {
		names = append(names, s.RepoTags...)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	want, _ := topology.ParseReference(a.name)
	for _, s := range all {
		if slices.ContainsFunc(s.RepoTags, func(tag string) bool {
			r, err := topology.ParseReference(tag)
			return a.name != "" && err == nil && r == want
		}) {
			return s, nil
		}
	}
	return saved{}, fmt.Errorf("%w: the archive has %d images (%s); save one alone", ErrMalformed, len(all), orNothing(names))
}

func (a *archive) layer(_ context.Context, i int) (io.ReadCloser, error) {
	m := a.layers[i]
	return io.NopCloser(io.NewSectionReader(a.file, m.offset, m.size)), nil
}
