package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/internal/inroot"
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

// whole has a directory made beside its place, and puts it there when it is whole and on the disk. Its place may be in a directory of
// another user, who exchanges what is there for links meanwhile: all is done in open directories. Write gets a path that
// leads to the new one wherever that is by then.
func whole(ctx context.Context, dir string, write func(dir string) error) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	parent, err := inroot.Dir(filepath.Dir(abs))
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	base := filepath.Base(abs)
	if err := isFree(parent, base); err != nil {
		return err
	}
	name := ".nsnet-commit-" + rand.Text()
	if err := unix.Mkdirat(parent, name, 0o700); err != nil {
		return fmt.Errorf("create a directory beside it: %w", err)
	}
	made, err := openMade(parent, name)
	if err != nil {
		return errors.Join(err, unix.Unlinkat(parent, name, unix.AT_REMOVEDIR))
	}
	defer unix.Close(made)
	if err = write(pathOf(made)); err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = os.NewSyscallError("syncfs", unix.Syncfs(made))
	}
	if err == nil {
		// rename(2) refuses a directory that has something by now.
		err = os.NewSyscallError("rename", unix.Renameat(parent, name, parent, base))
	}
	if err != nil {
		return errors.Join(err, removeAt(parent, name))
	}
	var is, want unix.Stat_t
	if err := errors.Join(unix.Fstatat(parent, base, &is, unix.AT_SYMLINK_NOFOLLOW), unix.Fstat(made, &want)); err != nil {
		return err
	}
	if is.Dev != want.Dev || is.Ino != want.Ino {
		return errExchanged
	}
	return nil
}

// errExchanged tells that the directory that was made is no longer where it was made.
var errExchanged = fmt.Errorf("%w: somebody has exchanged the directory while it was written; choose a place that no other user may write in", ErrConflict)

// isFree refuses a name of a directory at which is anything but an empty directory.
func isFree(parent int, name string) error {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	list, err := overlayfs.ReadNames(fd)
	if err == nil && len(list) > 0 {
		err = fmt.Errorf("%w: it is there and not empty", ErrConflict)
	}
	return err
}

// openMade opens a directory that this process has just made.
func openMade(parent int, name string) (int, error) {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && (int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0) {
		err = errExchanged
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// removeAt removes what is at a name of an open directory, and follows no link out of it.
func removeAt(parent int, name string) error {
	root, err := os.OpenRoot(pathOf(parent))
	if err != nil {
		return err
	}
	defer root.Close()
	return root.RemoveAll(name)
}

// pathOf leads to an open directory.
func pathOf(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

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
	top, err := os.MkdirTemp(dir, ".nsnet-commit-")
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
		layers = append(layers, func(to io.Writer) error { return w.archive(layer, to) })
	}
	config := image.Config{Env: w.node.Env, User: w.node.User, Workdir: w.node.Workdir, Command: w.node.Command, StopSignal: w.node.StopSignal}
	if img := w.m.images[w.node.Image.String()]; img != nil {
		config.Volumes, config.Ports, config.Health = img.Config.Volumes, img.Config.Ports, img.Config.Health
	}
	res.Layers = len(layers)
	res.Digest, err = image.Export(dir, layers, config)
	return err
}

func (w *writableLayers) archive(layer string, to io.Writer) error {
	dir, err := w.files.openDir(layer)
	if err != nil {
		return err
	}
	defer dir.Close()
	f, err := os.Open(named(dir))
	if err != nil {
		return err
	}
	defer f.Close()
	return overlayfs.WriteTar(int(f.Fd()), to)
}
