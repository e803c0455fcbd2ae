package lab

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/dns"
	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/internal/waiting"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/stall"
	"github.com/nsnet/nsnet/overlayfs"
	"github.com/nsnet/nsnet/topology"
)

// FileChange is a path of a node that is not as its layers have it.
type FileChange struct {
	Kind string `json:"kind"` // "A": added, "C": changed, "D": deleted
	Path string `json:"path"` // absolute, of any bytes
	// Bytes is Path where that is no UTF-8, which JSON cannot have.
	Bytes []byte `json:"bytes,omitempty"`
}

// tree is the writable layer of a node's root or union, and what is below it.
type tree struct {
	path  string // in the node
	upper int    // O_PATH
	lower []string
	base  uint32 // the first id of the node in upper
	o     overlayfs.DiffOptions
}

// writableLayers are those of one node, as Diff and Commit look at them.
type writableLayers struct {
	lab   *topology.Lab
	node  *topology.Node
	m     *mounter
	files *hostFiles
	store *image.Store
	trees []tree
	done  []func()

	inUse        map[string]image.Use // of the store, by a node that runs, by name
	copiedCommon []overlayfs.Entry    // files of the common layer that a copied root has
}

func (w *writableLayers) close() {
	for i := range w.trees {
		_ = unix.Close(w.trees[i].upper)
	}
	for i := len(w.done) - 1; i >= 0; i-- {
		w.done[i]()
	}
}

// Diff lists what a node has changed of its root and of its unions, by reference LAB/NODE or NODE. One that does not run is asked for what it keeps, as
// LAB/NODE; one that keeps nothing is ErrNotRunning.
func Diff(ctx context.Context, ref string) ([]FileChange, error) {
	w, err := openWritable(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer w.close()
	all := []FileChange{}
	for i := range w.trees {
		t := &w.trees[i]
		changes, err := w.diff(t)
		if err != nil {
			return nil, &Error{Lab: w.lab.Name, Node: w.node.Name, Op: "compare with its layers", Object: t.path, Err: err}
		}
		for _, c := range changes {
			f := FileChange{Kind: string(c.Kind), Path: filepath.Join(t.path, c.Path)}
			if strings.ToValidUTF8(f.Path, "") != f.Path {
				f.Bytes = []byte(f.Path)
			}
			all = append(all, f)
		}
	}
	return all, nil
}

// diff compares one tree, on the mounter's thread. Layers are opened as mounts of their own: nothing that is mounted in one of them
// is in a node.
func (w *writableLayers) diff(t *tree) (changes []overlayfs.Change, err error) {
	err = w.m.do(func() error {
		var fds []int
		for _, dir := range t.lower {
			mount, err := w.m.files.cloneLayer(dir, -1)
			if err != nil {
				closeFDs(fds)
				return err
			}
			fd, err := unix.Openat(mount, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			_ = unix.Close(mount)
			if err != nil {
				closeFDs(fds)
				return err
			}
			fds = append(fds, fd)
		}
		lower := overlayfs.MergedOf(fds...)
		defer lower.Close()
		changes, err = overlayfs.Diff(t.upper, lower, t.o)
		return err
	})
	return changes, err
}

// openWritable finds a node's writable layers and what is below them.
func openWritable(ctx context.Context, ref string) (*writableLayers, error) {
	labName, node, err := Find(ctx, ref)
	if errors.Is(err, ErrNotFound) {
		l, n, ok := strings.Cut(ref, "/")
		if !ok || !validName(l) {
			return nil, err
		}
		labName, node = l, n
	} else if err != nil {
		return nil, err
	}
	w := &writableLayers{}
	dir := dirOf(labName)
	if alive(dir) {
		err = w.running(ctx, labName, node)
	} else {
		dir = filepath.Join(KeepDir, labName)
		err = w.stopped(labName, node)
	}
	if err == nil {
		err = w.below(ctx, dir)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *writableLayers) find(dir, node string) error {
	var err error
	if w.lab, err = readLab(dir); err != nil {
		return err
	}
	for i := range w.lab.Nodes {
		if w.lab.Nodes[i].Name == node {
			w.node = &w.lab.Nodes[i]
			return nil
		}
	}
	return &Error{Lab: w.lab.Name, Node: node, Err: ErrNotFound}
}

// running asks the lab's init for the layers of a node that runs.
func (w *writableLayers) running(ctx context.Context, labName, node string) error {
	dir := dirOf(labName)
	if err := w.find(dir, node); err != nil {
		return err
	}
	r, err := readRecord(dir)
	if err != nil {
		return &Error{Lab: labName, Op: "read its record", Err: err}
	}
	w.files = filesNow(r, w.lab)
	states, err := nodeStates(ctx, labName)
	if err != nil {
		return err
	}
	if states[node] == nil {
		return notRunning(labName, node, false)
	}
	c, err := dial(labName)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	defer waiting.Say(ctx, func() string { return stall.Init(labName) })()
	if err := proto.Send(c, proto.Uppers, proto.UppersRequest{Node: node}); err != nil {
		return &Error{Lab: labName, Node: node, Op: "ask for its writable layers", Err: err}
	}
	k, body, fds, err := c.Receive()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &Error{Lab: labName, Node: node, Op: "ask for its writable layers", Err: err}
	}
	var reply proto.UppersReply
	if k == proto.Reply {
		err = proto.Decode(body, &reply)
	}
	st := states[node]
	if st != nil {
		w.inUse = usesOf(r, &st.Made)
	}
	if k != proto.Reply || err != nil || len(reply.Paths) != len(fds) || len(fds) == 0 || st == nil {
		closeFDs(fds)
		return &Error{Lab: labName, Node: node, Err: ErrNotRunning}
	}
	for i, path := range reply.Paths {
		t := tree{path: path, upper: fds[i]}
		if !w.node.Privileged {
			t.base = r.ids().of(st.Slot)
		}
		for _, s := range storageOf(w.node, st) {
			t.o.Copied = t.o.Copied || s.Path == path && s.Driver == topology.StorageCopy
		}
		w.trees = append(w.trees, t)
	}
	return nil
}

// stopped opens what a node that does not run keeps, under the lock that keeps labs from using it.
func (w *writableLayers) stopped(labName, node string) error {
	missing := &Error{Lab: labName, Node: node, Err: ErrNotRunning, Remedy: "bring it up with nsnet up; only nodes with persist: true keep anything when they are down"}
	lock, err := lockKept(labName, false)
	if errors.Is(err, fs.ErrNotExist) {
		return missing
	}
	if err != nil {
		return err
	}
	w.done = append(w.done, func() { lock.Close() })
	dir := filepath.Join(KeepDir, labName)
	if err := w.find(dir, node); err != nil {
		return err
	}
	w.files = filesOf(w.lab) // there is no telling where links may lead
	if !w.node.Writable.Persist {
		return missing
	}
	open := func(path, name string) error {
		kept := filepath.Join(keptBy(dir, node), name)
		fd, err := unix.Open(filepath.Join(kept, "upper"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != nil {
			return &Error{Lab: labName, Node: node, Op: "open what it keeps", Err: err}
		}
		w.trees = append(w.trees, tree{path: path, upper: fd, o: overlayfs.DiffOptions{Copied: overlayfs.IsCopied(kept)}})
		return nil
	}
	if err := open("/", rootTree); err != nil {
		return err
	}
	for i := range w.node.Unions {
		if u := &w.node.Unions[i]; !u.Writes() {
			if err := open(u.Path, unionTree(u.Path)); err != nil {
				return err
			}
		}
	}
	return nil
}

// below prepares what the writable layers are above, in a mount namespace for this alone.
func (w *writableLayers) below(ctx context.Context, at string) error {
	fail := func(err error) error {
		return &Error{Lab: w.lab.Name, Node: w.node.Name, Op: "look at its layers", Err: err}
	}
	var err error
	if w.m, err = newMounter(at); err != nil {
		return fail(err)
	}
	w.done = append(w.done, w.m.close)
	w.m.files = w.files
	w.m.images = map[string]*image.Image{}
	if stored := storedImages(w.node); len(stored) > 0 {
		if w.store, err = image.Open(image.Dir); err != nil {
			return fail(err)
		}
		w.store = w.store.Through(w.files.open)
		hold, err := w.store.Hold(ctx)
		if err != nil {
			return fail(err)
		}
		w.done = append(w.done, hold.Close)
		for _, i := range stored {
			if use, runs := w.inUse[i.String()]; runs {
				w.m.images[i.String()], err = w.store.Used(use)
			} else {
				w.m.images[i.String()], err = w.store.Find(i)
			}
			if err != nil {
				return fail(err)
			}
		}
	}
	hosts := dns.Hosts(w.lab)
	resolv, own := namesOf(w.node, hosts, dns.Own(w.lab)[w.node.Name])
	if err := w.m.do(func() error { return w.common(own, resolv) }); err != nil {
		return fail(err)
	}
	for i := range w.trees {
		t := &w.trees[i]
		t.o.Base = t.base
		if t.path == "/" {
			w.belowRoot(t, own, resolv)
			continue
		}
		for j := range w.node.Unions {
			if u := &w.node.Unions[j]; u.Path == t.path {
				for _, b := range w.m.branches(u.Layers) {
					t.lower = append(t.lower, b.Path)
				}
			}
		}
	}
	return nil
}

// common makes the common layers that the node has, and its own files.
func (w *writableLayers) common(hosts, resolv []byte) error {
	var err error
	if w.m.commons, err = w.m.planCommon(w.lab, []topology.Node{*w.node}); err != nil {
		return err
	}
	f, err := writeHosts(w.m.at, w.lab)
	if err != nil {
		return err
	}
	f.Close()
	if err := w.m.commons.write(w.m.at, overlayfs.TrustedMark); err != nil {
		return err
	}
	if copiesRoot(w.node) {
		for _, e := range w.m.commons.entries(w.m.commons.of(w.node)) {
			if e.Kind == overlayfs.File {
				w.copiedCommon = append(w.copiedCommon, e)
			}
		}
	}
	return makeLayer(filepath.Join(w.m.at, "files"), ownFiles(w.node, &proto.NodeSetup{Hosts: hosts, Resolv: resolv}), overlayfs.TrustedMark)
}

func (w *writableLayers) belowRoot(t *tree, hosts, resolv []byte) {
	// A node that had lines of its own in /etc/hosts keeps a file of its own without them.
	t.o.Own = map[string][]byte{"etc/hosts": dns.Hosts(w.lab)}
	for _, e := range w.copiedCommon {
		t.o.Own[e.Path] = e.Data // those of a copy are older than what is made here to compare
	}
	for _, f := range container.Files(w.node, hosts, resolv) {
		t.o.Own[f.Path] = f.Content
	}
	for _, b := range w.node.Binds {
		t.o.Mounts = append(t.o.Mounts, b.Target[1:])
	}
	for _, m := range w.node.Tmpfs {
		t.o.Mounts = append(t.o.Mounts, m.Target[1:])
	}
	for i := range w.node.Unions {
		t.o.Mounts = append(t.o.Mounts, w.node.Unions[i].Path[1:])
	}
	above, below := w.m.stack(w.node)
	t.lower = append([]string{filepath.Join(w.m.at, "files"), filepath.Join(w.m.at, w.m.commons.of(w.node))}, append(above, below...)...)
}
