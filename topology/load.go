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
	fi, err := f.Stat()
	if err == nil && fi.IsDir() {
		return nil, fmt.Errorf("read topology file: %s is a directory; name the file in it", path)
	}
	data, err := readAll(f)
	if err != nil {
		return nil, err
	}
	at := pathOf(f, fi)
	l, err := parse(path, data, at, o)
	if err == nil && at != "" {
		l.Info = fi
	}
	return l, err
}

// pathOf returns the path of a file that is open, as the kernel knows it, whatever links have led there and whoever has exchanged one
// since. It is empty for what is no regular file. proc_pid_fd(5).
func pathOf(f *os.File, fi os.FileInfo) string {
	if fi == nil || !fi.Mode().IsRegular() {
		return ""
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil || !filepath.IsAbs(path) {
		return ""
	}
	return path
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
	return parse(file, data, "", o)
}

// parse is Parse of the text of a file that is at a path without symbolic links, or of none.
func parse(file string, data []byte, path string, o Options) (*Lab, error) {
	dir, noDir := filepath.Abs(filepath.Dir(file))
	if noDir != nil {
		dir = "/"
	}
	root, syntax := parseYAML(file, data)
	if syntax != nil {
		return nil, Errors{*syntax}
	}
	d := &decoder{file: file, dir: dir, noDir: noDir, ownDir: path != "", o: o, left: budget, paths: newFinder()}
	r := resolve(d, decodeFile(d, root))
	if len(d.errs) == 0 {
		lab := r.lab
		lab.File, lab.Paths, lab.Warnings = path, d.hostPaths, d.warnings.sorted()
		lab.AskedAt = r.askedAt()
		return lab, nil
	}
	errs := d.errs.sorted()
	if d.more > 0 {
		errs = append(errs, Error{File: file, Msg: fmt.Sprintf("and %d more errors", d.more)})
	}
	return nil, errs
}
