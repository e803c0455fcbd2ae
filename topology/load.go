package topology

import (
	"fmt"
	"io"
	"net/netip"
	"path/filepath"

	"github.com/nsnet/nsnet/topology/internal/origin"
)

// Options change how a file is read. The zero value reads the file alone and trusts it least.
type Options struct {
	// NameOverride is the lab's name in place of the file's.
	NameOverride string
	// HostBridge tells what the host has of a bridge of its own, and whether there is one of that name. Nil: nobody has looked,
	// and what the file leaves to such a bridge has the usual value.
	HostBridge func(name string) (HostBridge, bool)
	// CheckFiles makes a bind source or image directory that does not exist an error.
	CheckFiles bool
}

// HostBridge is what a lab takes of a bridge of the host.
type HostBridge struct {
	MTU       int
	Addresses []netip.Prefix // of the host, which no node may have
}

// Load reads the topology file at path. What the file is (Lab.File, Lab.Info) and where its relative paths begin (Lab.Dir) is found of what was
// opened: where path leads through symbolic links, that is the directory of the file that they lead to. A path
// that is a descriptor's name, such as /dev/stdin, is as text that is given to Read: it has no directory of its own, and its relative paths begin
// at the working directory. Anything else than a regular file is an error, and so is a pipe by its name: nobody is waited for. What is wrong with the
// file's content is returned as Errors; a file that cannot be read is another error.
func Load(path string, o Options) (*Lab, error) {
	f, err := origin.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read topology file: %w", err)
	}
	defer f.Close()
	data, err := readAll(f)
	if err != nil {
		return nil, err
	}
	if f.Path == "" {
		wd, noDir := filepath.Abs(".")
		return parse(path, data, source{dir: wd, noDir: noDir}, o)
	}
	at := source{file: f.Path, dir: filepath.Dir(f.Path)}
	if typed, err := filepath.Abs(path); err == nil && filepath.Dir(typed) != at.dir {
		at.led = at.dir
	}
	l, err := parse(path, data, at, o)
	if err == nil {
		l.Info, l.DirInfo = f.Info, f.Dir
	}
	return l, err
}

// source is where a text comes from.
type source struct {
	file  string // without symbolic links; empty: it is of no file, and dir is not its own
	dir   string // that relative paths begin at
	noDir error  // why there is none
	led   string // dir, where that is another directory than the one of the file's name
}

// Read reads the text of a topology file from r to its end. The name file is for messages, and its
// directory is what relative paths in the text begin at, but none of the text's own: the lab has to ask for each path. Errors are
// those of Load.
func Read(file string, r io.Reader, o Options) (*Lab, error) {
	data, err := readAll(r)
	if err != nil {
		return nil, err
	}
	return Parse(file, data, o)
}

func readAll(r io.Reader) ([]byte, error) {
	// One byte past the limit is enough for Parse to refuse the file; a pipe has no size to ask for.
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read topology file: %w", err)
	}
	return data, nil
}

// Parse reads the text of a topology file. The name file is for messages, and its directory
// is what relative paths in the text begin at, see Read. They are errors where that is below a working directory which
// is gone. The error is an Errors.
func Parse(file string, data []byte, o Options) (*Lab, error) {
	dir, noDir := filepath.Abs(filepath.Dir(file))
	return parse(file, data, source{dir: dir, noDir: noDir}, o)
}

// parse is Parse of text from a place.
func parse(file string, data []byte, at source, o Options) (*Lab, error) {
	if at.noDir != nil {
		at.dir = "/"
	}
	root, syntax := parseYAML(file, data)
	if syntax != nil {
		return nil, Errors{*syntax}
	}
	d := &decoder{file: file, source: at, o: o, left: budget, paths: newFinder()}
	r := resolve(d, decodeFile(d, root))
	if len(d.errs) == 0 {
		lab := r.lab
		lab.File, lab.Paths, lab.Warnings = at.file, d.hostPaths, d.warnings.sorted()
		lab.AskedAt = r.askedAt()
		return lab, nil
	}
	errs := d.errs.sorted()
	if d.more > 0 {
		errs = append(errs, Error{File: file, Msg: fmt.Sprintf("and %d more errors", d.more)})
	}
	return nil, errs
}
