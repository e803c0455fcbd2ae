package topology

import (
	"path/filepath"
	"strings"
)

// HostPath is where a path of the host leads that a lab names.
type HostPath struct {
	// Real is the path without symbolic links. Where no one has looked (Options.CheckFiles) it is the path as it is named.
	Real string
	// Beneath is the way from the file's own directory to Real, such as "." or "data/x", without symbolic links and "..": Real ends with it, and
	// what comes before is that directory. It is empty where Real is elsewhere, and consent is needed.
	Beneath string
}

// Dir returns the file's own directory, which Real is beneath, and nothing where it is elsewhere.
func (p HostPath) Dir() string {
	switch p.Beneath {
	case "":
		return ""
	case ".":
		return p.Real
	}
	return p.Real[:len(p.Real)-len(p.Beneath)-1]
}

// HostPath tells where a path leads that is the source of a bind or the path of an image. The file's own directory is Dir. Of a
// lab that was not read from a file each path is elsewhere.
func (l *Lab) HostPath(path string) HostPath {
	if p, ok := l.Paths[path]; ok {
		return p
	}
	return HostPath{Real: path}
}

// FindPath tells where an absolute path leads now, to a file in dir, which is without symbolic links, and empty for text that has
// no directory of its own.
func FindPath(path, dir string) (HostPath, error) {
	at, err := newFinder().resolve(filepath.Clean(path))
	if err != nil || dir == "" {
		return HostPath{Real: at}, err
	}
	return hostPath(at, dir), nil
}

// hostPath tells what a path without symbolic links is to a file in dir.
func hostPath(path, dir string) HostPath {
	p := HostPath{Real: path}
	switch {
	case dir == "/", !within(path, dir):
	case within(path, "/proc"), within(path, "/sys"), filepath.Base(path) == "docker.sock":
	case path == dir:
		p.Beneath = "."
	default:
		p.Beneath = path[len(dir)+1:]
	}
	return p
}

// within tells whether a clean path is dir or below it.
func within(path, dir string) bool {
	if dir == "/" {
		return true
	}
	rest, ok := strings.CutPrefix(path, dir)
	return ok && (rest == "" || rest[0] == '/')
}
