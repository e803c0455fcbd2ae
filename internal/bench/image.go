package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// The image that is measured with: files of the machine's own /usr, as images of Debian have them, in some layers of one size.
const (
	imageName   = "bench.test/image:1"
	imageBytes  = 100e6
	imageLayers = 4
)

// imageDir is where in the image layer i has its files.
func imageDir(i int) string { return "files" + strconv.Itoa(i) }

// makeImage makes the image, uncompressed as docker save has it, and compressed, which takes some seconds.
func makeImage(dir string) (saved string, img v1.Image, err error) {
	paths, err := layerTars(dir)
	if err != nil {
		return "", nil, err
	}
	img = empty.Image
	for _, p := range paths {
		l, err := tarball.LayerFromFile(p)
		if err != nil {
			return "", nil, fmt.Errorf("make a layer: %w", err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			return "", nil, fmt.Errorf("make the image: %w", err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return "", nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return "", nil, err
	}
	saved = filepath.Join(dir, "image.tar")
	return saved, img, save(saved, img)
}

// save writes an archive as docker save does. go-containerregistry would put compressed layers into it.
func save(path string, img v1.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	plain := empty.Image
	for _, l := range layers {
		if plain, err = mutate.AppendLayers(plain, uncompressed{l}); err != nil {
			return err
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	if plain, err = mutate.ConfigFile(plain, config); err != nil {
		return err
	}
	tag, err := name.NewTag(imageName)
	if err != nil {
		return err
	}
	if err := tarball.Write(tag, plain, f); err != nil {
		return fmt.Errorf("save the image: %w", err)
	}
	return f.Close()
}

// uncompressed is a layer that travels as it is.
type uncompressed struct{ v1.Layer }

func (u uncompressed) Digest() (v1.Hash, error)           { return u.DiffID() }
func (u uncompressed) Compressed() (io.ReadCloser, error) { return u.Uncompressed() }
func (u uncompressed) Size() (int64, error) {
	r, err := u.Uncompressed()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return io.Copy(io.Discard, r)
}

// layerTars writes the layers' archives. The first has a busybox, too.
func layerTars(dir string) ([]string, error) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	l := &layerWriter{dir: dir}
	if err := l.next(); err != nil {
		return nil, err
	}
	if err := l.add("bin/busybox", busybox); err != nil {
		return nil, err
	}
	err = filepath.WalkDir("/usr", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if l.size > imageBytes/imageLayers {
			if len(l.paths) == imageLayers {
				return fs.SkipAll
			}
			if err := l.next(); err != nil {
				return err
			}
		}
		// A large one would make its layer larger than the others.
		if st, err := d.Info(); err != nil || st.Size() > imageBytes/imageLayers/10 {
			return err
		}
		return l.add(imageDir(len(l.paths)-1)+path, path)
	})
	return l.paths, errors.Join(err, l.close())
}

// layerWriter writes one archive after the other.
type layerWriter struct {
	dir   string
	paths []string
	file  *os.File
	tar   *tar.Writer
	size  int64 // of the present one's files
}

func (l *layerWriter) next() (err error) {
	if err := l.close(); err != nil {
		return err
	}
	path := filepath.Join(l.dir, fmt.Sprintf("layer%d.tar", len(l.paths)))
	if l.file, err = os.Create(path); err != nil {
		return err
	}
	l.paths, l.tar, l.size = append(l.paths, path), tar.NewWriter(l.file), 0
	return nil
}

func (l *layerWriter) close() error {
	if l.file == nil {
		return nil
	}
	return errors.Join(l.tar.Close(), l.file.Close())
}

func (l *layerWriter) add(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(st.Mode().Perm()), Size: st.Size(), ModTime: st.ModTime()}
	if err := l.tar.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(l.tar, f)
	l.size += n
	return err
}
