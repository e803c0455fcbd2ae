package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/lockfile"
	"github.com/nsnet/nsnet/topology"
)

// Store is a directory with images.
type Store struct {
	dir  string
	file func(path string) (*os.File, error) // see Through
}

// Through is the store for one who opens images' sources that are files and directories of the host as open does, which may use O_PATH: the
// paths of a file that somebody else has written. Otherwise a path is what it leads to.
func (s *Store) Through(open func(path string) (*os.File, error)) *Store {
	return &Store{dir: s.dir, file: open}
}

// opened returns an image whose path leads, until done is called, to what is open by then.
func (s *Store) opened(i topology.Image) (_ topology.Image, done func(), err error) {
	if s.file == nil || i.Path == "" {
		return i, func() {}, nil
	}
	f, err := s.file(i.Path)
	if err != nil {
		return i, nil, missing(err)
	}
	i.Path = "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	return i, func() { _ = f.Close() }, nil
}

// Open opens the store in dir, and makes it if it is not there.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir}
	for _, d := range []string{dir, s.names(), s.blobs(), s.layers()} {
		err := failpoint.Hit("mkdir", d)
		if err == nil {
			err = os.MkdirAll(d, 0o700)
		}
		if err != nil {
			return nil, storeError("create the store", err)
		}
	}
	// Whoever could enter would find setuid programs of strangers.
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return nil, storeError("look at the store", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		return nil, &Error{Op: "open the store", Err: fmt.Errorf("%s is not a directory that only its owner, uid %d, may enter", dir, os.Geteuid()), Remedy: "chown and chmod 0700 it, or remove it"}
	}
	return s, nil
}

// OpenExisting opens the store in dir if there is one; without one it is fs.ErrNotExist.
func OpenExisting(dir string) (*Store, error) {
	if _, err := os.Stat(filepath.Join(dir, "names")); err != nil {
		return nil, storeError("open the store", err)
	}
	return Open(dir)
}

func storeError(op string, err error) error {
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return &Error{Op: op, Err: fmt.Errorf("%w: %w", ErrPermission, err), Remedy: "run it with sudo"}
	case errors.Is(err, unix.ENOSPC):
		return &Error{Op: op, Err: err, Remedy: "remove images with nsnet image rm"}
	}
	return &Error{Op: op, Err: err}
}

func (s *Store) names() string  { return filepath.Join(s.dir, "names") }
func (s *Store) blobs() string  { return filepath.Join(s.dir, "blobs") }
func (s *Store) layers() string { return filepath.Join(s.dir, "layers") }

// baseName is a digest as a file's name.
func baseName(digest string) string { return strings.TrimPrefix(digest, "sha256:") }

func (s *Store) nameFile(name string) string {
	return filepath.Join(s.names(), baseName(digestOf([]byte(name)))+".json")
}

func (s *Store) layerDir(diffID string) string { return filepath.Join(s.layers(), baseName(diffID)) }

// storeLock is what is waited for, in words.
const storeLock = "the lock of the store of images"

// Hold is the store's lock. Nothing is removed from the store until it is closed.
type Hold struct{ file *os.File }

// Close lets go.
func (h *Hold) Close() { h.file.Close() }

// Hold waits for whoever removes something, and keeps others from it.
func (s *Store) Hold(ctx context.Context) (*Hold, error) {
	return s.lock(func(f *os.File) error { return lockfile.Wait(ctx, f, lockfile.Shared, storeLock) })
}

// alone waits until nobody uses the store.
func (s *Store) alone(ctx context.Context) (*Hold, error) {
	return s.lock(func(f *os.File) error { return lockfile.Wait(ctx, f, lockfile.Exclusive, storeLock) })
}

func (s *Store) lock(get func(*os.File) error) (*Hold, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, storeError("lock the store", err)
	}
	if err := get(f); err != nil {
		f.Close()
		return nil, storeError("lock the store", err)
	}
	return &Hold{f}, nil
}

// Find is the image as the store has it, or ErrNotFound: also when its source is a file that has changed, or a layer is missing.
func (s *Store) Find(i topology.Image) (*Image, error) {
	img, err := s.find(i.String())
	if err != nil {
		return nil, err
	}
	if img.stamp == "" || img.Source != "" {
		return img, nil
	}
	now := ""
	if at, done, err := s.opened(i); err == nil {
		now = stampOf(at)
		done()
	}
	switch now {
	case img.stamp:
		return img, nil
	case "":
		return nil, &Error{Image: img.Name, Err: fmt.Errorf("%w: where it came from there is nothing to be read any more", ErrNotFound)}
	}
	return nil, &Error{Image: img.Name, Err: fmt.Errorf("%w in the store: %w", ErrNotFound, ErrChanged)}
}

// source begins to read from where an image comes from.
func (s *Store) source(ctx context.Context, i topology.Image, o *PullOptions) (source, error) {
	at, done, err := s.opened(i)
	if err != nil {
		return nil, err
	}
	defer done()
	return open(ctx, at, o, s.dir)
}

// Peek is the ID of what Pull would get now. No layer is read, and nothing is written.
func (s *Store) Peek(ctx context.Context, i topology.Image) (string, error) {
	fail := func(err error) (string, error) { return "", explain(i.String(), "find", err) }
	src, err := s.source(ctx, i, &PullOptions{})
	if err != nil {
		return fail(err)
	}
	defer src.close()
	f, err := src.find(ctx)
	if err != nil {
		return fail(err)
	}
	return digestOf(f.config), nil
}

// Used is an image as a lab runs from it, whatever its name stands for by now.
func (s *Store) Used(u Use) (*Image, error) {
	fail := func(err error) (*Image, error) {
		return nil, &Error{Image: u.Image, Op: "find what a lab runs from in the store", Err: err}
	}
	if !topology.ValidDigest(u.ID) {
		return fail(ErrNotFound)
	}
	c, err := s.config(u.ID)
	if err != nil {
		return fail(err)
	}
	img := &Image{Name: u.Image, ID: u.ID, Platform: c.OS + "/" + c.Architecture, Config: c.public(), store: s.dir}
	for _, d := range c.RootFS.DiffIDs {
		l, err := readLayer(s.layerDir(d))
		if err != nil {
			return fail(err)
		}
		img.Layers = append(img.Layers, l)
	}
	return img, nil
}

// config is an image's configuration, by its digest.
func (s *Store) config(id string) (*configFile, error) {
	b, err := os.ReadFile(filepath.Join(s.blobs(), baseName(id)))
	if err != nil {
		return nil, err
	}
	return parseConfig(b)
}

func (s *Store) find(name string) (*Image, error) {
	img, err := s.read(s.nameFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Image: name, Err: fmt.Errorf("%w in the store", ErrNotFound), Remedy: "nsnet image pull " + name}
	}
	if err != nil {
		return nil, err
	}
	for _, l := range img.Layers {
		if _, err := os.Lstat(s.layerDir(l.DiffID)); err != nil {
			return nil, &Error{Image: name, Layer: ShortID(l.DiffID), Err: fmt.Errorf("%w in the store: %w", ErrNotFound, err), Remedy: "nsnet image pull " + name}
		}
	}
	return img, nil
}

func (s *Store) read(path string) (*Image, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, storeError("read the store", err)
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, &Error{Op: "read the store", Err: fmt.Errorf("%s: %w", path, err), Remedy: "remove the file and pull the image again"}
	}
	img := &r.Image
	img.store, img.stamp = s.dir, r.Stamp
	if r.Parsed != parsed {
		// Pulled by an older nsnet, which knew less of a configuration.
		if c, err := s.config(img.ID); err == nil {
			img.Config = c.public()
		}
	}
	for _, l := range img.Layers {
		if !topology.ValidDigest(l.DiffID) {
			return nil, &Error{Op: "read the store", Err: fmt.Errorf("%s names the layer %q", path, l.DiffID), Remedy: "remove the file and pull the image again"}
		}
	}
	return img, nil
}

// List is all images, by name. A record that cannot be read does not hide the others.
func (s *Store) List() ([]Image, error) {
	entries, err := os.ReadDir(s.names())
	if err != nil {
		return nil, storeError("list the store", err)
	}
	images, failures := []Image{}, []error{}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		img, err := s.read(filepath.Join(s.names(), e.Name()))
		switch {
		case err == nil:
			images = append(images, *img)
		case !errors.Is(err, fs.ErrNotExist): // removed meanwhile
			failures = append(failures, err)
		}
	}
	slices.SortFunc(images, func(a, b Image) int { return strings.Compare(a.Name, b.Name) })
	return images, errors.Join(failures...)
}

// write puts a file into the store, whole or not at all.
func (s *Store) write(path string, b []byte) error {
	err := failpoint.Hit("write", path)
	if err == nil {
		err = renameio.WriteFile(path, b, 0o600)
	}
	if err != nil {
		return storeError("write to the store", err)
	}
	return nil
}

// Dirs are the image's layers as overlayfs takes them: the topmost first, none twice.
func (i *Image) Dirs() []string {
	var dirs []string
	for _, l := range slices.Backward(i.Layers) {
		dir := filepath.Join((&Store{dir: i.store}).layerDir(l.DiffID), "fs")
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}
