package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/overlayfs"
	"github.com/nsnet/nsnet/topology"
)

// StorageStatus tells how a node's root or union is made of its layers.
type StorageStatus struct {
	Path    string `json:"path"` // "/" is the root
	Driver  string `json:"driver"`
	Why     string `json:"why"`
	Persist bool   `json:"persist,omitempty"` // what is written is kept across down and up
}

// chooseStorage finds a driver for every union of nodes to start, and refuses what none can do, before anything is changed.
func (b *builder) chooseStorage(start []topology.Node) error {
	b.storage = map[string][]proto.Storage{}
	fresh := byName(start)
	var probe *mounter
	remove := func() {}
	defer func() {
		if probe != nil {
			probe.close()
		}
		remove()
	}()
	for i := range b.lab.Nodes {
		n := &b.lab.Nodes[i]
		if fresh[n.Name] == nil || len(n.Unions) == 0 && n.Storage == "" && !n.Writable.Persist && len(n.Layers) == 0 {
			continue
		}
		given := b.given[n.Name]
		root, err := rootStorage(n)
		if err != nil {
			return &Error{Node: n.Name, Op: "storage", Err: err}
		}
		root.Asked = given.Storage != ""
		all := []proto.Storage{root}
		for j := range n.Unions {
			u := &n.Unions[j]
			var exchanged error // which is no matter of the kernel's
			refused := func() error {
				if probe == nil {
					var dir string
					if dir, remove, err = b.probeDir(); err != nil {
						return err
					}
					if probe, err = newMounter(dir); err != nil {
						return err
					}
					probe.files = b.files
				}
				err := probe.tryOverlay(fmt.Sprintf("%d.%d", i, j), u)
				if errors.Is(err, errElsewhere) {
					exchanged = err
				}
				return err
			}
			c, err := overlayfs.Choose(u.Storage, namedBranches(u), refused)
			if exchanged != nil {
				err = exchanged
			}
			if err != nil {
				if errors.Is(err, errors.ErrUnsupported) {
					err = fmt.Errorf("%w: %w", ErrUnsupported, err)
				}
				return &Error{Node: n.Name, Op: "storage of the union", Object: u.Path, Err: err}
			}
			all = append(all, proto.Storage{Path: u.Path, Driver: c.Driver.Name(), Why: c.Why, Persist: n.Writable.Persist && !u.Writes(), Asked: given.Unions[j].Storage != ""})
		}
		for j := range all {
			if b.byFlag && all[j].Why == overlayfs.AskedFor {
				all[j].Why += " by --storage-driver"
			}
		}
		b.storage[n.Name] = all
		setStorage(n, all)
	}
	return b.findWritten(start)
}

// setStorage writes into a node how it is made. What it had no choice in says nothing.
func setStorage(n *topology.Node, made []proto.Storage) {
	n.Unions = slices.Clone(n.Unions)
	for _, s := range made {
		if s.Path == "/" {
			n.Storage = s.Driver
		}
		for i := range n.Unions {
			if u := &n.Unions[i]; u.Path == s.Path {
				u.Storage = s.Driver
			}
		}
	}
}

// withoutStorage takes the drivers out of what a node is to be.
func withoutStorage(n *topology.Node) {
	n.Storage, n.Unions = "", slices.Clone(n.Unions)
	for i := range n.Unions {
		n.Unions[i].Storage = ""
	}
}

// rootStorage is how a node's root is made.
func rootStorage(n *topology.Node) (proto.Storage, error) {
	s := proto.Storage{Path: "/", Driver: topology.StorageOverlay, Why: "the kernel has it", Persist: n.Writable.Persist}
	switch n.Storage {
	case topology.StorageOverlay:
		s.Why = overlayfs.AskedFor
	case topology.StorageFuse:
		s.Why = "asked for was fuse, which is for unions at a path: no root is put on it"
	case topology.StorageCopy:
		if n.Image.Kind == topology.ImageHost {
			return s, fmt.Errorf("%w: the host's root is too much to be copied; give the node another image, or leave out storage: copy", ErrUnsupported)
		}
		if release, err := release(); err == nil && olderThan(release, 6, 6) {
			return s, fmt.Errorf("%w: a copied root needs Linux 6.6, for idmapped mounts of tmpfs", ErrUnsupported)
		}
		s.Driver, s.Why = topology.StorageCopy, overlayfs.AskedFor
	}
	return s, nil
}

// storageOf is how a node's root and unions are made, as up has chosen. s is nil where the lab does not run.
func storageOf(n *topology.Node, s *proto.NodeState) []StorageStatus {
	root, _ := rootStorage(n) // one without a choice is not refused
	made := []proto.Storage{root}
	if s != nil && len(s.Made.Storage) > 0 {
		made = s.Made.Storage
	}
	all := make([]StorageStatus, len(made))
	for i, m := range made {
		all[i] = StorageStatus{m.Path, m.Driver, m.Why, m.Persist}
	}
	return all
}

// copiesRoot tells whether a node's root is a copy.
func copiesRoot(n *topology.Node) bool { return n.Storage == topology.StorageCopy }

// probeBranches are the directories of a union; of an image there may be nothing yet, and what the store has is no matter of
// doubt.
func probeBranches(u *topology.Union) []overlayfs.Branch {
	var all []overlayfs.Branch
	for _, l := range u.Layers {
		if !l.Image.Stored() {
			all = append(all, overlayfs.Branch{Path: l.Image.Path, Writable: l.Writable})
		}
	}
	return all
}

// namedBranches are the layers of a union for what is asked of drivers before there are directories.
func namedBranches(u *topology.Union) []overlayfs.Branch {
	all := make([]overlayfs.Branch, len(u.Layers))
	for i, l := range u.Layers {
		all[i] = overlayfs.Branch{Path: l.Image.Path, Writable: l.Writable}
	}
	return all
}

// tryOverlay mounts a union's directories as an overlay, in a mounter that is for this alone.
func (m *mounter) tryOverlay(name string, u *topology.Union) error {
	branches := probeBranches(u)
	if len(branches) == 0 {
		return nil
	}
	for i := range branches {
		branches[i].Writable = false // nothing is to be changed
	}
	return m.do(func() error {
		s := overlayfs.Spec{Branches: branches, Own: filepath.Join(m.at, name, "own"), Scratch: filepath.Join(m.at, name, "scratch"), Userns: -1, Open: m.files.openDir}
		for _, d := range []string{s.Own, s.Scratch} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return err
			}
		}
		fd, err := overlayfs.Overlay{}.Mount(&s)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	})
}

// branches are the directories of layers, those of images one by one. A layer that several images have is there once, where it is
// first: further below there would be nothing to be seen of it, and no overlay has a directory twice (ELOOP).
func (m *mounter) branches(layers []topology.Layer) []overlayfs.Branch {
	var all []overlayfs.Branch
	for _, l := range layers {
		for _, dir := range m.layersOf(l.Image) {
			if l.Image.Stored() && slices.ContainsFunc(all, func(b overlayfs.Branch) bool { return b.Path == dir }) {
				continue
			}
			all = append(all, overlayfs.Branch{Path: dir, Writable: l.Writable})
		}
	}
	return all
}

// above are the layers between a node's common layer and its image, and image those of the image. For the host's root
// the layers are in front of what stands in for the host's closed files, which would hide too much of them.
func (m *mounter) stack(n *topology.Node) (above, image []string) {
	host := n.Image.Kind == topology.ImageHost
	if len(n.Layers) == 0 || !host && !isApart(n) {
		return nil, m.branchPaths(n)
	}
	for _, b := range m.branches(n.Layers) {
		above = append(above, b.Path)
	}
	if !host {
		return above, m.layersOf(n.Image)
	}
	return append(above, filepath.Join(m.at, hostCommon)), m.layersOf(n.Image)
}

// isApart reports whether a layer of a node's root and its image overlap, as every directory and the host's root do. No
// overlay has both (ELOOP): the image becomes an overlay of its own, and what is below that is none of the other's business. The
// weak overlay is one already.
func isApart(n *topology.Node) bool {
	if len(n.Layers) == 0 || n.Image.Stored() || container.IsWeak(n) || copiesRoot(n) {
		return false
	}
	if n.Image.Kind == topology.ImageHost {
		return true
	}
	for _, l := range n.Layers {
		if l.Image.Kind == topology.ImageDir {
			if _, _, yes := topology.Overlap([]string{n.Image.Path, l.Image.Path}); yes {
				return true
			}
		}
	}
	return false
}

// checkLayers finds layers that cannot be on top of their images, of which all that the store has is known now.
func (b *builder) checkLayers(start []topology.Node) error {
	checked := map[string]bool{}
	fresh := byName(start)
	m := mounter{images: b.images}
	for i := range b.lab.Nodes {
		n := &b.lab.Nodes[i]
		if len(n.Layers) == 0 || fresh[n.Name] == nil {
			continue
		}
		var layers []string
		for _, branch := range m.branches(n.Layers) {
			layers = append(layers, branch.Path)
		}
		image := m.layersOf(n.Image)
		key := strings.Join(slices.Concat(layers, []string{""}, image), "\x00")
		if checked[key] {
			continue
		}
		checked[key] = true
		if err := topology.CheckLayers(layers, image); err != nil {
			return &Error{Node: n.Name, Op: "put its layers on its image", Err: err}
		}
	}
	return nil
}

// branchPaths are the layers of a root that are not nsnet's own, the topmost first.
func (m *mounter) branchPaths(n *topology.Node) []string {
	var all []string
	for _, b := range m.branches(append(slices.Clone(n.Layers), topology.Layer{Image: n.Image})) {
		all = append(all, b.Path)
	}
	return all
}

// owned gives a node a writable layer of its own for one of its trees: a bounded tmpfs, or the directory that is kept,
// idmapped. It runs on the mounter's thread.
func (m *mounter) owned(n *topology.Node, tree, at string, userns int, base uint32) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if n.Writable.Persist {
		fd, err := overlayfs.Clone(filepath.Join(keptBy(m.keep, n.Name), tree), unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, userns, false)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.MoveMount(fd, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	data := "mode=0755,size=" + container.TmpfsSize(n.Writable.Size)
	if base > 0 {
		data += fmt.Sprintf(",uid=%d,gid=%d", base, base)
	}
	if err := unix.Mount("nsnet", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
		return fmt.Errorf("mount the writable layer: %w", err)
	}
	return nil
}

// spec is one union of a node, with the directories for it. These are beside the node's own, "of", which may be a tmpfs that is bounded and has
// no devices.
func (m *mounter) spec(n *topology.Node, tree string, branches []overlayfs.Branch, userns int, base uint32) (*overlayfs.Spec, error) {
	dir := filepath.Join(m.at, m.turn+"unions", n.Name, tree)
	s := &overlayfs.Spec{Branches: branches, Open: m.files.openDir, Own: filepath.Join(dir, "own"), Scratch: filepath.Join(dir, "scratch"),
		Userns: userns, Base: base, Progress: m.progress(n.Name), Users: n.Image.Kind == topology.ImageHost}
	if err := os.MkdirAll(s.Scratch, 0o755); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(branches, func(b overlayfs.Branch) bool { return b.Writable }) {
		return s, nil // it has no layer of its own
	}
	return s, m.owned(n, tree, s.Own, userns, base)
}

// progress reports on a copy.
func (m *mounter) progress(node string) func(int) {
	return func(files int) {
		if m.step != nil {
			m.step("copy the layers of "+node, files, 0)
		}
	}
}

// unions makes a node's unions, and opens their writable layers. It runs on the mounter's thread.
func (m *mounter) unions(r *nodeMounts, n *topology.Node, chosen []proto.Storage, userns int, base uint32) error {
	fail := func(path string, err error) error {
		return &Error{Node: n.Name, Op: "make the union", Object: path, Err: err}
	}
	for i := range n.Unions {
		u := &n.Unions[i]
		c, err := overlayfs.Choose(chosen[i+1].Driver, nil, nil)
		if err != nil {
			return fail(u.Path, err)
		}
		s, err := m.spec(n, unionTree(u.Path), m.branches(u.Layers), userns, base)
		if err != nil {
			return fail(u.Path, err)
		}
		if who := unionName(m.lab, n.Name, u.Path); writesUpper(u) {
			up, locks, err := m.openUpper(m.written[who], who)
			if err != nil {
				return fail(u.Path, err)
			}
			s.Upper, r.locks = up, append(r.locks, locks...)
		} else if err := r.lockWritten(m.files, u); err != nil {
			return fail(u.Path, err)
		}
		if c.Driver == (overlayfs.Fuse{}) {
			if s.Self, err = ownProgram(); err != nil {
				return fail(u.Path, err)
			}
		}
		s.Server = func(s *overlayfs.Spec, p overlayfs.Program) (int, error) {
			mount, ends, err := m.serve(s, p)
			if err == nil {
				r.servers, r.served = append(r.servers, ends), append(r.served, u.Path)
			}
			return mount, err
		}
		fd, err := c.Driver.Mount(s)
		if s.Upper != nil {
			_ = unix.Close(s.Upper.Parent)
		}
		if err != nil {
			return fail(u.Path, err)
		}
		r.fds = append(r.fds, fd)
		if u.Writes() {
			continue
		}
		upper, err := unix.Open(filepath.Join(s.Own, "upper"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fail(u.Path, err)
		}
		r.uppers, r.paths = append(r.uppers, upper), append(r.paths, u.Path)
	}
	return nil
}

// copyRoot makes a node's root a copy of its layers: with the common one on top, whose mount points hide what the image
// has there, and the node's own files above that.
func (m *mounter) copyRoot(n *topology.Node, s *proto.NodeSetup, userns int, base uint32) (assembled, error) {
	own := filepath.Join(m.at, "of", n.Name, "files")
	if err := makeLayer(own, ownFiles(n, s), overlayfs.UserMark); err != nil {
		return assembled{}, fmt.Errorf("write the node's own files: %w", err)
	}
	branches := []overlayfs.Branch{{Path: own}, {Path: filepath.Join(m.at, m.commons.of(n))}}
	above, image := m.stack(n)
	for _, dir := range append(above, image...) {
		branches = append(branches, overlayfs.Branch{Path: dir})
	}
	spec, err := m.spec(n, rootTree, branches, userns, base)
	if err != nil {
		return assembled{}, err
	}
	r := assembled{}
	if r.root, err = (overlayfs.Copy{}).Mount(spec); err != nil {
		return assembled{}, err
	}
	if r.upper, err = unix.Open(filepath.Join(spec.Own, "upper"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		_ = unix.Close(r.root)
	}
	return r, err
}
