package topology

import (
	"path/filepath"

	"go.yaml.in/yaml/v4"
)

// unionWriter is a union that writes a directory.
type unionWriter struct {
	node, path string
	line       int
	alone      bool // see WritesAlone
}

// checkUnion has it said what cannot be of a union: what no kernel has to be asked for.
func (r *resolver) checkUnion(node string, u *unionSpec) {
	for i, l := range u.Layers {
		switch {
		case !l.Writable:
			continue
		case u.Storage == StorageCopy:
			r.d.errorf(u.storage, "storage: copy writes to no layer in place, and the layer %s of the union %s of node %s is rw: leave out rw, or use storage: fuse", l.Image.Path, u.Path, node)
			return
		case u.Storage == StorageOverlay && i > 0:
			r.d.errorf(u.storage, "storage: overlay can have the first layer alone rw, and the layer %s of the union %s of node %s is rw: leave out rw, or use storage: fuse", l.Image.Path, u.Path, node)
			return
		}
	}
	if !r.d.o.CheckFiles {
		return
	}
	if (u.Storage == StorageOverlay || WritesAlone(&u.Union)) && !r.overlap[u.layers] {
		if r.overlap == nil {
			r.overlap = map[*yaml.Node]bool{}
		}
		r.overlap[u.layers] = true
		if a, b, yes := Overlap(layerDirs(u.Layers)); yes {
			switch {
			case a == b:
				r.d.errorf(u.layers, "the layer %s is there twice", a)
			case r.realPath(a) == r.realPath(b):
				r.d.errorf(u.layers, "the layers %s and %s are the same directory, and no overlay can have both", a, b)
			default:
				r.d.errorf(u.layers, "the layer %s is inside the layer %s, and no overlay can have both", a, b)
			}
			return
		}
	}
	r.checkWriters(node, u)
}

// checkWriters refuses a second union that writes a directory which an overlay writes.
func (r *resolver) checkWriters(node string, u *unionSpec) {
	me := unionWriter{node, u.Path, u.n.Line, WritesAlone(&u.Union)}
	for _, l := range u.Layers {
		if !l.Writable {
			continue
		}
		dir := r.realPath(l.Image.Path)
		other, is := r.writes[dir]
		if is && (other.node != node || other.path != u.Path) && (other.alone || me.alone) {
			r.d.errorf(u.n, "the directory %s is written by the union %s of node %s already (line %d), and an overlay has to be the only one to write it: give node %s a directory of its own, or storage: fuse to both",
				l.Image.Path, other.path, other.node, other.line, node)
			return
		}
		if r.writes == nil {
			r.writes = map[string]unionWriter{}
		}
		if !is || me.alone {
			r.writes[dir] = me
		}
	}
}

func layerDirs(layers []Layer) (dirs []string) {
	for _, l := range layers {
		if l.Image.Kind == ImageDir {
			dirs = append(dirs, l.Image.Path)
		}
	}
	return dirs
}

// realPath is a path without symbolic links, where there is something.
func (r *resolver) realPath(path string) string {
	if p, ok := r.real[path]; ok {
		return p
	}
	p, err := filepath.EvalSymlinks(path)
	if err != nil {
		p = filepath.Clean(path)
	}
	if r.real == nil {
		r.real = map[string]string{}
	}
	r.real[path] = p
	return p
}
