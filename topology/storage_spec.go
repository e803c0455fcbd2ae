package topology

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// minWritable is the least size of a writable layer: below it a node cannot even be given its files.
const minWritable = 1 << 20

// maxLayers bounds one list of layers: a message of descriptors holds no more, and overlayfs itself 500.
const maxLayers = 200

type unionSpec struct {
	Union
	n       *yaml.Node
	layers  *yaml.Node // the list
	storage *yaml.Node // what says the driver
}

// layerText is a layer before its texts are understood.
type layerText struct {
	dir, image, mode opt[string]
}

func layerKeys() []keyDef[layerText] {
	return []keyDef[layerText]{
		{"dir", func(d *decoder, l *layerText, n *yaml.Node) { l.dir = d.checked(n, "dir", nil) }},
		{"image", func(d *decoder, l *layerText, n *yaml.Node) { l.image = d.checked(n, "image", nil) }},
		{"mode", func(d *decoder, l *layerText, n *yaml.Node) {
			l.mode = d.checked(n, "mode", func(v string) error {
				if v != "ro" && v != "rw" {
					return fmt.Errorf("is neither ro nor rw")
				}
				return nil
			})
		}},
	}
}

func unionKeys() []keyDef[unionSpec] {
	return []keyDef[unionSpec]{
		{"path", func(d *decoder, u *unionSpec, n *yaml.Node) {
			if s, ok := d.text(n, "path"); ok {
				u.Path, _ = d.target(n, "path", s)
			}
		}},
		{"layers", func(d *decoder, u *unionSpec, n *yaml.Node) { u.Layers, u.layers = d.layers(n).v, n }},
		{"storage", func(d *decoder, u *unionSpec, n *yaml.Node) { u.Storage, u.storage = d.storage(n).v, n }},
	}
}

func (d *decoder) storage(n *yaml.Node) opt[string] {
	return d.checked(n, "storage", func(v string) error { return ValidateStorage(v) })
}

// ValidateStorage tells whether s names a driver of unions.
func ValidateStorage(s string) error {
	if !slices.Contains(StorageDrivers(), s) {
		return fmt.Errorf("is none of %s%s", strings.Join(StorageDrivers(), ", "), didYouMean(s, StorageDrivers()))
	}
	return nil
}

// layers takes the layers of a union, the topmost first.
func (d *decoder) layers(n *yaml.Node) opt[[]Layer] {
	items, ok := d.list(n, "layers")
	if !ok {
		return opt[[]Layer]{}
	}
	if len(items) > maxLayers {
		d.errorf(n, "a union has at most %d layers, not %d", maxLayers, len(items))
		return opt[[]Layer]{}
	}
	return opt[[]Layer]{each(d, items, d.layer), n}
}

// layer understands "DIR[:ro|:rw]" or {dir, mode} or {image}. Only these two endings of the text are no part of the
// path, which may hold colons and commas.
func (d *decoder) layer(n *yaml.Node) (Layer, bool) {
	if n.Kind == yaml.MappingNode {
		return d.layerMapping(n)
	}
	path, ok := d.text(n, "a layer")
	if !ok {
		return Layer{}, false
	}
	l := Layer{}
	if p, ok := strings.CutSuffix(path, ":rw"); ok {
		path, l.Writable = p, true
	} else {
		path = strings.TrimSuffix(path, ":ro")
	}
	l.Image, ok = d.layerDir(n, path)
	return l, ok
}

func (d *decoder) layerMapping(n *yaml.Node) (Layer, bool) {
	var t layerText
	before := len(d.errs) + d.more
	if !decodeKeys(d, n, "a layer", &t, layerKeys()) || len(d.errs)+d.more != before {
		return Layer{}, false
	}
	l := Layer{Writable: t.mode.v == "rw"}
	switch {
	case (t.dir.n == nil) == (t.image.n == nil):
		d.errorf(n, "a layer is either a dir or an image")
		return l, false
	case t.dir.n != nil:
		var ok bool
		l.Image, ok = d.layerDir(t.dir.n, t.dir.v)
		return l, ok
	case l.Writable:
		d.errorf(n, "a layer that is an image is shared and cannot be rw")
		return l, false
	}
	i := d.image(t.image.n)
	if i.n != nil && i.v.Kind == ImageHost {
		d.errorf(n, "the host's root is no layer; it can be the node's image")
		return l, false
	}
	l.Image = i.v
	return l, i.n != nil
}

func (d *decoder) layerDir(n *yaml.Node, path string) (Image, bool) {
	i := Image{Kind: ImageDir}
	var ok bool
	if i.Path, ok = d.hostPath(n, "layer", path); !ok {
		return i, false
	}
	if d.o.CheckFiles {
		if fi, err := d.paths.stat(filepath.Clean(i.Path)); err == nil && !fi.IsDir() {
			d.errorf(n, "layer %q is not a directory", path)
			return i, false
		}
	}
	return i, true
}

func (d *decoder) union(n *yaml.Node) (unionSpec, bool) {
	u := unionSpec{n: n}
	before := len(d.errs) + d.more
	if !decodeKeys(d, n, "a union", &u, unionKeys()) || len(d.errs)+d.more != before {
		return u, false
	}
	if u.Path == "" {
		d.errorf(n, "path is missing: where the node has the union")
		return u, false
	}
	if len(u.Layers) == 0 {
		d.errorf(n, "layers are missing: the directories that are put on top of each other, the first wins")
		return u, false
	}
	return u, true
}

// rootLayers takes a node's layers, above its image.
func (d *decoder) rootLayers(n *yaml.Node) opt[[]Layer] {
	l := d.layers(n)
	for i := range l.v {
		if l.v[i].Writable {
			d.errorf(n, "a layer of the root cannot be rw: what a node writes stays in its own layer; a union at a path can have such layers (unions)")
		}
	}
	return l
}
