package topology

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
)

// Options change how a file is read. The zero value reads the file alone and trusts it least.
type Options struct {
	// NameOverride is the lab's name in place of the file's.
	NameOverride string
	// AllowHostPaths lets binds and images use any path of the host: /, /proc, /sys, the
	// Docker socket, and relative paths that leave the file's directory.
	AllowHostPaths bool
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

// Load reads the topology file at path. What is wrong with its content is returned as
// Errors; a file that cannot be read is another error.
func Load(path string, o Options) (*Lab, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read topology file: %w", err)
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.IsDir() {
		return nil, fmt.Errorf("read topology file: %s is a directory; name the file in it", path)
	}
	return Read(path, f, o)
}

// Read reads the text of a topology file from r to its end. The name file is for messages, and its
// directory is what relative paths in the text begin at. Errors are those of Load.
func Read(file string, r io.Reader, o Options) (*Lab, error) {
	// One byte past the limit is enough for Parse to refuse the file; a pipe has no size to ask for.
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read topology file: %w", err)
	}
	return Parse(file, data, o)
}

// Parse reads the text of a topology file. The name file is for messages, and its directory
// is what relative paths in the text begin at. They are errors where that is below a working directory which
// is gone. The error is an Errors.
func Parse(file string, data []byte, o Options) (*Lab, error) {
	dir, noDir := filepath.Abs(filepath.Dir(file))
	if noDir != nil {
		dir = "/"
	}
	root, syntax := parseYAML(file, data)
	if syntax != nil {
		return nil, Errors{*syntax}
	}
	d := &decoder{file: file, dir: dir, noDir: noDir, o: o, left: budget, paths: newFinder()}
	lab := resolve(d, decodeFile(d, root))
	if len(d.errs) == 0 {
		lab.Warnings = d.warnings.sorted()
		return lab, nil
	}
	errs := d.errs.sorted()
	if d.more > 0 {
		errs = append(errs, Error{File: file, Msg: fmt.Sprintf("and %d more errors", d.more)})
	}
	return nil, errs
}
