package topology

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// maxFollowed is how many symbolic links a path may lead through, as for the kernel
	// (path_resolution(7)).
	maxFollowed = 40
	// maxLookups bounds what the paths of one file may cost: names that are looked up on disk.
	maxLookups = 40_000
)

var (
	errFollowed = errors.New("leads through more than 40 symbolic links")
	errLookups  = errors.New("is one path too many: those of a file have 40,000 names at most")
)

// finder resolves paths of the host, each name of them once: a file may name one directory or chain of
// links many thousand times.
type finder struct {
	found map[string]place    // by the path as it is written, clean and absolute
	names map[string]nameSeen // by the path without links
	left  int                 // names that may still be looked up
}

// place is where a path leads.
type place struct {
	path string // without links
	err  error
}

// nameSeen is what is at a path.
type nameSeen struct {
	info fs.FileInfo
	link string // where a symbolic link leads, as it is written there
	err  error
}

func newFinder() *finder {
	return &finder{found: map[string]place{}, names: map[string]nameSeen{}, left: maxLookups}
}

// resolve returns a clean absolute path without symbolic links, as filepath.EvalSymlinks does.
func (f *finder) resolve(path string) (string, error) {
	followed := 0
	p := f.at(path, &followed)
	return p.path, p.err
}

// stat describes what a clean absolute path leads to.
func (f *finder) stat(path string) (fs.FileInfo, error) {
	at, err := f.resolve(path)
	if err != nil {
		return nil, err
	}
	n := f.look(at)
	return n.info, n.err
}

// at resolves a path, of which the directory is most likely known.
func (f *finder) at(path string, followed *int) place {
	if path == "/" {
		return place{path: "/"}
	}
	if p, ok := f.found[path]; ok {
		return p
	}
	dir := f.at(filepath.Dir(path), followed)
	p := dir
	if dir.err == nil {
		p.path, p.err = f.walk(dir.path, filepath.Base(path), followed)
	}
	f.found[path] = p
	return p
}

// walk follows names from a directory without links in its path.
func (f *finder) walk(at, rest string, followed *int) (string, error) {
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		n := f.look(next)
		if n.err != nil {
			return "", n.err
		}
		if n.link == "" {
			at = next
			continue
		}
		if *followed++; *followed > maxFollowed {
			return "", errFollowed
		}
		if strings.HasPrefix(n.link, "/") {
			at = "/"
		}
		rest = n.link + "/" + rest
	}
	return at, nil
}

// look looks a name up, once.
func (f *finder) look(path string) nameSeen {
	if path == "/" {
		info, err := os.Lstat(path)
		return nameSeen{info: info, err: err}
	}
	if n, ok := f.names[path]; ok {
		return n
	}
	var n nameSeen
	if f.left--; f.left < 0 {
		n.err = errLookups
		return n
	}
	if n.info, n.err = os.Lstat(path); n.err == nil && n.info.Mode()&fs.ModeSymlink != 0 {
		n.link, n.err = os.Readlink(path)
	}
	f.names[path] = n
	return n
}
