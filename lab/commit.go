package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/overlayfs"
	"github.com/nsnet/nsnet/topology"
)

// CommitOptions say what Commit saves, and where.
type CommitOptions struct {
	Node string // LAB/NODE or NODE, as for Diff
	Path string // of a union of the node; empty: its root
	// Dir is the directory that is made: a layer, or with OCI an image layout. It must be new or empty.
	Dir string
	OCI bool
}

// CommitResult tells what Commit has saved.
type CommitResult struct {
	Dir     string `json:"dir"`
	Changes int    `json:"changes"`
	Layers  int    `json:"layers"`           // of the image, or 1
	Digest  string `json:"digest,omitempty"` // of the image's manifest
}

// Commit saves what a node has changed, as Diff lists it: as a directory to be used as a layer, or as an image of the node's layers
// with the changes on top. The node goes on meanwhile: pause it for one moment's picture. What is half done is removed.
func Commit(ctx context.Context, o CommitOptions) (CommitResult, error) {
	res := CommitResult{Dir: o.Dir}
	w, err := openWritable(ctx, o.Node)
	if err != nil {
		return res, err
	}
	defer w.close()
	fail := func(op string, err error) error {
		e := &Error{Lab: w.lab.Name, Node: w.node.Name, Op: op, Object: o.Dir, Err: err}
		if errors.Is(err, overlayfs.ErrChanging) {
			e.Remedy = fmt.Sprintf("hold the node meanwhile: nsnet pause %s/%s", w.lab.Name, w.node.Name)
		}
		return e
	}
	path := o.Path
	if path == "" {
		path = "/"
	}
	i := slices.IndexFunc(w.trees, func(t tree) bool { return t.path == filepath.Clean(path) })
	if u := slices.IndexFunc(w.node.Unions, func(u topology.Union) bool { return u.Path == filepath.Clean(path) }); i < 0 && u >= 0 && w.node.Unions[u].Writes() {
		return res, &Error{Lab: w.lab.Name, Node: w.node.Name, Object: path, Err: fmt.Errorf("%w: this union is written in place: what the node has changed is in %s", ErrConflict, writtenBy(&w.node.Unions[u])),
			Remedy: "copy that, or leave its rw out for the union to have a writable layer of its own"}
	}
	if i < 0 {
		return res, &Error{Lab: w.lab.Name, Node: w.node.Name, Object: path, Err: fmt.Errorf("%w: no union with a writable layer of its own is there", ErrNotFound)}
	}
	if o.OCI && path == "/" && w.node.Image.Kind == topology.ImageHost {
		return res, &Error{Lab: w.lab.Name, Node: w.node.Name, Err: fmt.Errorf("%w: the host's root, which the node is on, is no image", ErrConflict), Remedy: "save a layer instead, nsnet commit NODE DIR, and use it with layers: [DIR]"}
	}
	if n := len(w.layersOf(&w.trees[i])) + 1; o.OCI && n > image.MaxLayers {
		return res, &Error{Lab: w.lab.Name, Node: w.node.Name, Op: "save", Object: o.Dir, Err: fmt.Errorf("the image would have %d layers, more than %d", n, image.MaxLayers), Remedy: "save a layer instead, nsnet commit NODE DIR, and use it with layers: [DIR]"}
	}
	changes, err := w.diff(&w.trees[i])
	if err != nil {
		return res, fail("compare with its layers", err)
	}
	res.Changes, res.Layers = len(changes), 1
	err = whole(ctx, o.Dir, func(dir string) error {
		if !o.OCI {
			return w.writeLayer(&w.trees[i], changes, dir)
		}
		return w.writeImage(&w.trees[i], changes, dir, &res)
	})
	if err != nil {
		return res, fail("save", err)
	}
	return res, nil
}

// writtenBy names the directories that a union writes in place.
func writtenBy(u *topology.Union) string {
	var dirs []string
	for i := range u.Layers {
		if l := &u.Layers[i]; l.Writable {
			dirs = append(dirs, l.Image.Path)
		}
	}
	return strings.Join(dirs, " and ")
}

// whole has a directory made beside its place, and puts it there when it is whole and on the disk.
func whole(ctx context.Context, dir string, write func(dir string) error) error {
	parent := filepath.Dir(filepath.Clean(dir))
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return fmt.Errorf("%w: it is there and not empty", ErrConflict)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	made, err := os.MkdirTemp(parent, ".nsnet-commit-")
	if err != nil {
		return err
	}
	if err = write(made); err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = toDisk(made)
	}
	if err == nil {
		// os.Rename refuses a directory that is there, even an empty one; rename(2) refuses one that has something by now.
		err = os.NewSyscallError("rename", unix.Rename(made, dir))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(made))
	}
	return nil
}

// toDisk writes a directory's file system to the disk. syncfs(2).
func toDisk(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// writeLayer fills a directory of mode 0700: set-user-id files of a node's root are the host's root's outside.
func (w *writableLayers) writeLayer(t *tree, changes []overlayfs.Change, dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return overlayfs.WriteLayer(t.upper, int(f.Fd()), changes, t.o)
}

// layersOf are the directories below a union's writable layer, the first on top.
func (w *writableLayers) layersOf(t *tree) []string {
	if t.path == "/" {
		return w.m.branchPaths(w.node)
	}
	return t.lower
}

// writeImage writes the layers below, the lowest first, and the changes above them. Its command is what the node runs.
func (w *writableLayers) writeImage(t *tree, changes []overlayfs.Change, dir string, res *CommitResult) error {
	top, err := os.MkdirTemp(filepath.Dir(dir), ".nsnet-commit-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(top) }()
	if err := w.writeLayer(t, changes, top); err != nil {
		return err
	}
	all := append([]string{top}, w.layersOf(t)...)
	var layers []func(io.Writer) error
	for _, layer := range slices.Backward(all) {
		layers = append(layers, func(to io.Writer) error { return archive(layer, to) })
	}
	config := image.Config{Env: w.node.Env, User: w.node.User, Workdir: w.node.Workdir, Command: w.node.Command, StopSignal: w.node.StopSignal}
	if img := w.m.images[w.node.Image.String()]; img != nil {
		config.Volumes, config.Ports, config.Health = img.Config.Volumes, img.Config.Ports, img.Config.Health
	}
	res.Layers = len(layers)
	res.Digest, err = image.Export(dir, layers, config)
	return err
}

func archive(dir string, to io.Writer) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return overlayfs.WriteTar(int(f.Fd()), to)
}
