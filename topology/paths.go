package topology

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

type bindSpec struct {
	Bind
	n *yaml.Node
}

type tmpfsSpec struct {
	Tmpfs
	n *yaml.Node
}

// image understands where a root filesystem comes from.
func (d *decoder) image(n *yaml.Node) opt[Image] {
	s, ok := d.text(n, "image")
	if !ok {
		return opt[Image]{}
	}
	i, err := ParseImage(s)
	if err != nil {
		d.errorf(n, "image %q %v", s, err)
		return opt[Image]{}
	}
	if i.Path == "" {
		return opt[Image]{i, n}
	}
	what, directory := "image directory", true
	if d.o.CheckFiles {
		i = i.Settle(func(path string) bool {
			_, err := d.paths.stat(filepath.Clean(Image{Path: path}.Abs(d.dir).Path))
			return err == nil
		})
	}
	if i.Kind == ImageDockerArchive || i.Kind == ImageOCIArchive {
		what, directory = "image archive", false
	}
	path := i.Path
	if i.Path, ok = d.hostPath(n, what, path); !ok {
		return opt[Image]{}
	}
	if d.o.CheckFiles {
		switch fi, err := d.paths.stat(filepath.Clean(i.Path)); {
		case err != nil:
		case directory && !fi.IsDir():
			d.errorf(n, "%s %q is not a directory", what, path)
		case !directory && !fi.Mode().IsRegular():
			d.errorf(n, "%s %q is not a file", what, path)
		}
	}
	return opt[Image]{i, n}
}

// bind understands "SOURCE:TARGET[:ro|rw][,idmap]".
func (d *decoder) bind(n *yaml.Node) (bindSpec, bool) {
	s, ok := d.text(n, "a bind")
	if !ok {
		return bindSpec{}, false
	}
	source, target, options, ok := splitBind(s)
	if !ok {
		d.errorf(n, "bind %q is not SOURCE:TARGET[:ro|rw][,idmap]", s)
		return bindSpec{}, false
	}
	b := bindSpec{n: n}
	b.ReadOnly = true
	if options != "" {
		for _, o := range strings.Split(options, ",") {
			switch o {
			case "ro":
				b.ReadOnly = true
			case "rw":
				b.ReadOnly = false
			case "idmap":
				b.IDMap = true
			default:
				d.errorf(n, "unknown option %q of bind %q; there are ro, rw and idmap", o, s)
				return b, false
			}
		}
	}
	b.IDMap = b.IDMap || b.ReadOnly
	var okSource, okTarget bool
	b.Source, okSource = d.hostPath(n, "bind source", source)
	b.Target, okTarget = d.target(n, "bind target", target)
	return b, okSource && okTarget
}

// splitBind splits SOURCE:TARGET[:OPTIONS] from its end: a source may hold colons, as names of
// devices and of images do, a target is an absolute path without one, and options are no path.
func splitBind(s string) (source, target, options string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", "", false
	}
	source, target = s[:i], s[i+1:]
	if j := strings.LastIndexByte(source, ':'); j >= 0 && !strings.HasPrefix(target, "/") {
		source, target, options = source[:j], source[j+1:], target
		if options == "" {
			return "", "", "", false
		}
	}
	return source, target, options, true
}

// tmpfs understands "TARGET[:size=SIZE,mode=OCTAL]".
func (d *decoder) tmpfs(n *yaml.Node) (tmpfsSpec, bool) {
	s, ok := d.text(n, "a tmpfs")
	if !ok {
		return tmpfsSpec{}, false
	}
	path, options, given := strings.Cut(s, ":")
	t := tmpfsSpec{n: n}
	t.Mode = 0o1777
	if t.Target, ok = d.target(n, "tmpfs target", path); !ok || !given {
		return t, ok
	}
	for _, o := range strings.Split(options, ",") {
		key, value, _ := strings.Cut(o, "=")
		var err error
		switch key {
		case "size":
			if t.Size, err = parseSize(value); err == nil && t.Size == 0 {
				err = errors.New("it is 0")
			}
		case "mode":
			var mode uint64
			if mode, err = strconv.ParseUint(value, 8, 32); err != nil || mode > 0o7777 {
				err = errors.New("it is not an octal number such as 1777")
			}
			t.Mode = uint32(mode)
		default:
			err = errors.New("there are size=64MiB and mode=1777")
		}
		if err != nil {
			d.errorf(n, "option %q of tmpfs %q: %v", o, path, err)
			return t, false
		}
	}
	return t, true
}

// target checks a path inside a node that something is mounted on.
func (d *decoder) target(n *yaml.Node, what, path string) (string, bool) {
	if !filepath.IsAbs(path) {
		d.errorf(n, "%s %q is not an absolute path", what, path)
		return "", false
	}
	clean := filepath.Clean(path)
	if clean == "/" {
		d.errorf(n, "%s cannot be /", what)
		return "", false
	}
	for _, top := range []string{"/proc", "/sys", "/dev"} {
		if within(clean, top) {
			d.errorf(n, "%s %q is on %s, which the node has of its own", what, path, top)
			return "", false
		}
	}
	return clean, true
}

// hostPath makes a path of the host absolute and refuses those that a file from a stranger
// must not use. With CheckFiles it asks whether the path exists, and looks through
// symbolic links: a link in the file's directory must not lead where the path itself may not.
func (d *decoder) hostPath(n *yaml.Node, what, path string) (string, bool) {
	if path == "" {
		d.errorf(n, "%s is empty", what)
		return "", false
	}
	abs := filepath.Clean(path)
	relative := !filepath.IsAbs(path)
	if relative && d.noDir != nil {
		d.errorf(n, "%s %q is relative, and the working directory cannot be found: %v", what, path, d.noDir)
		return "", false
	}
	if relative {
		abs = filepath.Join(d.dir, path)
	}
	if err := d.allowed(abs, d.dir, relative); err != nil {
		d.errorf(n, "%s %q %v (allowed with --allow-host-paths)", what, path, err)
		return "", false
	}
	if !d.o.CheckFiles {
		return abs, true
	}
	resolved, err := d.paths.resolve(abs)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.errorf(n, "%s %q does not exist", what, path)
		return "", false
	case err != nil:
		d.errorf(n, "%s %q: %v", what, path, err)
		return "", false
	}
	dir, err := d.paths.resolve(d.dir)
	if err != nil {
		dir = d.dir
	}
	if err := d.allowed(resolved, dir, relative); err != nil {
		d.errorf(n, "%s %q is a link to %q, which %v (allowed with --allow-host-paths)", what, path, resolved, err)
		return "", false
	}
	return abs, true
}

// allowed says why a path must not be used.
func (d *decoder) allowed(abs, dir string, relative bool) error {
	if d.o.AllowHostPaths {
		return nil
	}
	switch {
	case abs == "/":
		return errors.New("is the host's whole root")
	case within(abs, "/proc"), within(abs, "/sys"):
		return errors.New("is the kernel's")
	case filepath.Base(abs) == "docker.sock":
		return errors.New("gives root on the host")
	case relative && !within(abs, dir):
		return fmt.Errorf("leaves the file's directory")
	}
	return nil
}

// within tells whether a clean path is dir or below it.
func within(path, dir string) bool {
	if dir == "/" {
		return true
	}
	rest, ok := strings.CutPrefix(path, dir)
	return ok && (rest == "" || rest[0] == '/')
}
