package topology

import (
	"errors"
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
			_, err := d.paths.stat(filepath.Clean(Image{Path: path}.Abs(d.source.dir).Path))
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

// hostPath makes a path of the host absolute and remembers where it leads. With CheckFiles it is
// an error if it does not exist.
func (d *decoder) hostPath(n *yaml.Node, what, path string) (string, bool) {
	if path == "" {
		d.errorf(n, "%s is empty", what)
		return "", false
	}
	abs := filepath.Clean(path)
	relative := !filepath.IsAbs(path)
	if relative && d.source.noDir != nil {
		d.errorf(n, "%s %q is relative, and the working directory cannot be found: %v", what, path, d.source.noDir)
		return "", false
	}
	if relative {
		abs = filepath.Join(d.source.dir, path)
	}
	leads := abs
	if d.o.CheckFiles {
		var err error
		switch leads, err = d.paths.resolve(abs); {
		case errors.Is(err, fs.ErrNotExist) && relative && d.source.led != "":
			d.errorf(n, "%s %q does not exist in %s, where the file is that %s leads to", what, path, d.source.led, d.file)
			return "", false
		case errors.Is(err, fs.ErrNotExist):
			d.errorf(n, "%s %q does not exist", what, path)
			return "", false
		case err != nil:
			d.errorf(n, "%s %q: %v", what, path, err)
			return "", false
		}
	}
	if d.pathAt[abs] == nil {
		if d.pathAt == nil {
			d.pathAt, d.hostPaths = map[string]*yaml.Node{}, map[string]HostPath{}
		}
		d.pathAt[abs], d.hostPaths[abs] = n, HostPath{Real: leads}
		if d.source.file != "" {
			d.hostPaths[abs] = hostPath(leads, d.source.dir)
		}
	}
	return abs, true
}
