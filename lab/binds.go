package lab

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/inroot"
	"github.com/nsnet/nsnet/topology"
)

// bindState is how what a node has at a bind's target stands to what the bind's source names by now.
type bindState int

const (
	bindCurrent  bindState = iota
	bindReplaced           // the source is another file, or another directory
	bindOther              // a directory where there was a file, or the other way round
	bindGone               // there is no such source any more
	bindMissing            // the target is there, and nothing is mounted on it
)

// reason says what is the matter with a bind, for a plan.
func (s bindState) reason(b topology.Bind) string {
	switch s {
	case bindReplaced:
		return b.Source + " is another one now"
	case bindOther:
		return b.Source + " was a file and is a directory now, or the other way round"
	case bindGone:
		return b.Source + " is gone"
	case bindMissing:
		return "it is not mounted any more"
	}
	return ""
}

// fileID is what tells a file from another for as long as either is open or mounted.
type fileID struct {
	dev, ino uint64
	dir      bool
}

func (f fileID) String() string { return fmt.Sprintf("%d:%d", f.dev, f.ino) }

// judgeBind compares what is at a bind's target with the source, of which nil means that there is none.
func judgeBind(at target, source *fileID) bindState {
	switch {
	case source == nil:
		return bindGone
	case !at.mounted && at.id.dir != source.dir:
		return bindCurrent // something of the node's own, where the bind has no place
	case !at.mounted:
		return bindMissing
	case at.id == *source:
		return bindCurrent
	case at.id.dir != source.dir:
		return bindOther
	}
	return bindReplaced
}

// isHidden reports whether a later bind is mounted over the place of the i-th.
func isHidden(binds []topology.Bind, i int) bool {
	return slices.ContainsFunc(binds[i+1:], func(b topology.Bind) bool { return strings.HasPrefix(binds[i].Target, b.Target+"/") })
}

// sourceOf identifies a bind's source. It is nil where nothing has that name.
func sourceOf(path string) (*fileID, error) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil //nolint:nilnil // that is the answer
	}
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	return &fileID{st.Dev, st.Ino, st.Mode&unix.S_IFMT == unix.S_IFDIR}, nil
}

// target is what a node has at a bind's target.
type target struct {
	fd      int
	id      fileID
	mounted bool // it is the root of a mount
	mount   uint64
}

// openTarget opens what a node has at a bind's target, seen from its root.
func openTarget(root int, path string) (t target, err error) {
	if t.fd, err = inroot.Open(root, path, unix.O_PATH, 0); err != nil {
		return t, err
	}
	var st unix.Statx_t
	if err := unix.Statx(t.fd, "", unix.AT_EMPTY_PATH, unix.STATX_TYPE|unix.STATX_INO|unix.STATX_MNT_ID, &st); err != nil {
		_ = unix.Close(t.fd)
		return t, err
	}
	t.id = fileID{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino, st.Mode&unix.S_IFMT == unix.S_IFDIR}
	t.mounted, t.mount = st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, st.Mnt_id
	return t, nil
}

// Sources are the files and directories of the host that nodes of a lab have, each once, sorted. Where another one
// takes the name, Up makes it the nodes'.
func Sources(l *topology.Lab) []string {
	var all []string
	for i := range l.Nodes {
		for _, b := range l.Nodes[i].Binds {
			all = append(all, b.Source)
		}
		all = append(all, dirsOf(&l.Nodes[i])...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// sources are the sources of binds as they are now, each looked at once.
type sources map[string]*fileID

func (s sources) of(path string) (*fileID, error) {
	if id, known := s[path]; known {
		return id, nil
	}
	id, err := sourceOf(path)
	if err == nil {
		s[path] = id
	}
	return id, err
}

// judgeBinds looks at the binds of a node that runs, whose init has this pid and is a child of the lab's. One whose target is not there
// at all, or leads to something else of nsnet's, is current: the node has moved it away, which is its own affair.
func judgeBinds(pid, init int, n *topology.Node, now sources) ([]bindState, error) {
	binds := n.Binds
	states := make([]bindState, len(binds))
	if len(binds) == 0 {
		return states, nil
	}
	root, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return states, nil //nolint:nilerr // its init has ended, which others tell
	}
	defer unix.Close(root)
	differ := false
	for i, b := range binds {
		source, err := now.of(b.Source)
		if err != nil {
			return nil, err
		}
		if isHidden(binds, i) {
			continue
		}
		at, err := openTarget(root, b.Target)
		if err != nil {
			continue
		}
		_ = unix.Close(at.fd)
		if states[i] = judgeBind(at, source); states[i] == bindReplaced || states[i] == bindOther || states[i] == bindMissing {
			if own, err := isOwnDoing(pid, n, at, b); err != nil || own {
				states[i] = bindCurrent
			}
		}
		differ = differ || states[i] != bindCurrent
	}
	if differ && !childOf(pid, init) { // the pid has passed to a stranger
		return make([]bindState, len(binds)), nil
	}
	return states, nil
}

// isOwnDoing is ownDoing for the init of a node.
func isOwnDoing(pid int, n *topology.Node, at target, b topology.Bind) (bool, error) {
	mounts, err := mountsOf(pid)
	if err != nil {
		return false, err
	}
	defer mounts.Close()
	return placesOf(n).ownDoing(mounts, at, b.Target)
}

// lookAtBinds judges the binds of nodes that run.
func (o *observed) lookAtBinds(want *topology.Lab) error {
	o.binds = map[string][]bindState{}
	now := sources{}
	for i := range want.Nodes {
		n := &want.Nodes[i]
		s := o.nodes[n.Name]
		if s == nil || len(n.Binds) == 0 {
			continue
		}
		states, err := judgeBinds(s.PID, o.rec.InitPID, n, now)
		if err != nil {
			return &Error{Node: n.Name, Op: "look at its binds", Err: err}
		}
		if slices.ContainsFunc(states, func(s bindState) bool { return s != bindCurrent }) {
			o.binds[n.Name] = states
		}
	}
	return nil
}

// otherBinds tells of binds that a running node cannot be given: what is bound is of another kind than its place in the node.
func otherBinds(n *topology.Node, states []bindState) (why []string) {
	for i, s := range states {
		if s == bindOther {
			why = append(why, "bind "+n.Binds[i].Target+": "+s.reason(n.Binds[i]))
		}
	}
	return why
}

// rebinds has sources that were replaced bound anew.
func (d *difference) rebinds(n *topology.Node, states []bindState) {
	for i, s := range states {
		if s == bindReplaced || s == bindGone || s == bindMissing {
			d.rebind[n.Name] = append(d.rebind[n.Name], i)
			d.say("~", "bind", n.Name+":"+n.Binds[i].Target, n.Binds[i].Source, s.reason(n.Binds[i]), CostInPlace)
			if s == bindGone {
				d.actions[len(d.actions)-1].Until = n.Binds[i].Source + " is there"
			}
		}
	}
}

// sourceTree is a bind's source as a detached tree of mounts, nobody's peer.
type sourceTree struct {
	fd    int
	id    fileID
	alone string // the mount below it for whose sake all mounts below are left out; empty: none

	foreign bool // what the node writes belongs to the ids that it has in this lab
}

// openSource opens the source of a bind, idmapped for a node: as the node's own where the bind says so, else with owners as bindMap has them.
// Mounts below it come along if all of them can be idmapped: what cannot, such as proc, is not for a node's eyes. The calling thread is locked.
func (f *hostFiles) openSource(b topology.Bind, n bindNode) (t sourceTree, err error) {
	if err := failpoint.Hit("open_tree", b.Source); err != nil {
		return t, fmt.Errorf("bind: open %s: %w", b.Source, err)
	}
	source, err := f.open(b.Source)
	if err != nil {
		return t, fmt.Errorf("bind: %w", err)
	}
	defer source.Close()
	plain := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Propagation: unix.MS_PRIVATE}
	if b.ReadOnly {
		plain.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	wanted := plain
	if n.userns >= 0 {
		wanted.Attr_set |= unix.MOUNT_ATTR_IDMAP
		wanted.Userns_fd = uint64(n.userns)
	}
	if n.userns >= 0 && !b.IDMap {
		owners, err := f.ownersOf(b, n)
		if err != nil {
			return t, fmt.Errorf("bind %s: find out whose its files are: %w", b.Source, err)
		}
		defer owners.Close()
		wanted.Userns_fd = uint64(owners.Fd())
	}
	try := func(a unix.MountAttr, recursive uint) error {
		fd, err := unix.OpenTree(int(source.Fd()), "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|recursive)
		if err != nil {
			return fmt.Errorf("bind: open %s: %w", b.Source, err)
		}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|recursive, &a); err != nil {
			_ = unix.Close(fd)
			return err
		}
		t.fd = fd
		return nil
	}
	alone := false
	err = try(wanted, unix.AT_RECURSIVE)
	if errors.Is(err, unix.EINVAL) {
		alone = true
		err = try(wanted, 0)
	}
	if errors.Is(err, unix.EINVAL) && b.IDMap {
		return t, fmt.Errorf("bind: %w: idmapped mounts of the file system of %s: tmpfs has them from Linux 6.3 on, ext4 and xfs from 5.12, btrfs from 5.15", ErrUnsupported, b.Source)
	}
	if errors.Is(err, unix.EINVAL) {
		t.foreign = true
		err = try(plain, 0)
	}
	if err != nil {
		return t, fmt.Errorf("bind %s: %w", b.Source, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(t.fd, &st); err != nil {
		_ = unix.Close(t.fd)
		return t, fmt.Errorf("bind %s: %w", b.Source, err)
	}
	t.id = fileID{st.Dev, st.Ino, st.Mode&unix.S_IFMT == unix.S_IFDIR}
	if alone {
		t.alone = firstMountBelow(source.Name())
	}
	return t, nil
}

// firstMountBelow names a mount below a directory, whose path is without symbolic links, if there is one.
func firstMountBelow(at string) string {
	all, err := mountinfo.GetMounts(mountinfo.PrefixFilter(at))
	if err != nil {
		return ""
	}
	for _, m := range all {
		if m.Mountpoint != at {
			return m.Mountpoint
		}
	}
	return ""
}

// notes tell of what is not as it should be with a node's bind.
func (t *sourceTree) notes(node string, b topology.Bind) (all []string) {
	if t.alone != "" {
		all = append(all, fmt.Sprintf("node %s: bind %s: what is mounted below %s is left out, as not all of it can be mounted idmapped: %s", node, b.Target, b.Source, t.alone))
	}
	if t.foreign {
		all = append(all, fmt.Sprintf("node %s: bind %s: the file system of %s has no idmapped mounts: what the node writes there is not its own after down and up", node, b.Target, b.Source))
	}
	return all
}
