package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/topology"
)

// rebindFirst binds sources that were replaced anew in nodes whose command is to be another one, which may be among them, and has these say
// whether that could start. It comes before the lab is what the new file says: if it could not, the old one runs on, and what is told of the
// lab is true.
func (c *change) rebindFirst(ctx context.Context) error {
	if err := c.rebindIn(func(node string) bool { return slices.Contains(c.todo.again, node) }); err != nil {
		return err
	}
	return c.lookLate(ctx)
}

// rebind binds sources that were replaced anew in the other nodes that stay.
func (c *change) rebind(context.Context) error {
	return c.rebindIn(func(node string) bool { return !slices.Contains(c.todo.again, node) })
}

func (c *change) rebindIn(which func(node string) bool) error {
	var todo []nodeBinds
	for i := range c.lab.Nodes {
		n := &c.lab.Nodes[i]
		binds, s := c.todo.rebind[n.Name], c.seen.nodes[n.Name]
		if len(binds) == 0 || s == nil || !which(n.Name) {
			continue
		}
		t := nodeBinds{node: n.Name, pid: s.PID, privileged: n.Privileged, places: placesOf(n)}
		for _, i := range binds {
			t.binds = append(t.binds, n.Binds[i])
		}
		todo = append(todo, t)
	}
	if len(todo) == 0 {
		return nil
	}
	var actions []string
	for _, t := range todo {
		for _, b := range t.binds {
			actions = append(actions, "~ bind "+t.node+":"+b.Target)
		}
	}
	c.account.begun(actions...)
	notes, err := bindAnew(c.seen.rec.InitPID, c.files, todo)
	c.notes = append(c.notes, notes...)
	if err == nil {
		c.account.made(actions...)
	}
	return err
}

// bindAnew binds what the sources of binds name by now, for commands that are about to be started again.
func (r *running) bindAnew(op string) error {
	var todo []nodeBinds
	now := sources{}
	for _, node := range r.nodes {
		n := node.spec
		if node.idle {
			continue
		}
		if len(node.lost) > 0 {
			return &Error{Lab: r.name, Node: n.Name, Op: op, Err: fmt.Errorf("the server of its union %s has ended", node.lost[0]), Remedy: "nsnet up with the lab's file starts the node anew"}
		}
		states, err := judgeBinds(node.pid, r.init, n, now)
		if err != nil {
			return &Error{Lab: r.name, Node: n.Name, Op: op, Err: err}
		}
		t := nodeBinds{node: n.Name, pid: node.pid, privileged: n.Privileged, places: placesOf(n)}
		for i, s := range states {
			switch s {
			case bindReplaced, bindMissing:
				t.binds = append(t.binds, n.Binds[i])
			case bindOther:
				return &Error{Lab: r.name, Node: n.Name, Op: op, Err: fmt.Errorf("bind %s: %s", n.Binds[i].Target, s.reason(n.Binds[i])), Remedy: "nsnet up with the lab's file starts the node anew"}
			case bindGone:
				return &Error{Lab: r.name, Node: n.Name, Op: op, Err: fmt.Errorf("bind %s: %s", n.Binds[i].Target, s.reason(n.Binds[i])), Remedy: "the node still has the old one: put it back, or take the bind out of the file and run nsnet up"}
			}
		}
		if len(t.binds) > 0 {
			todo = append(todo, t)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	rec, err := readRecord(dirOf(r.name))
	if err != nil {
		return &Error{Lab: r.name, Op: "read its record", Err: err}
	}
	_, err = bindAnew(r.init, filesNow(rec), todo)
	var e *Error
	if errors.As(err, &e) {
		e.Lab = r.name
		if errors.Is(err, errElsewhere) {
			e.Remedy = "see where it leads now, and run nsnet up with the lab's file, which asks for what is not beneath its directory"
		}
	}
	return err
}

// nodeBinds are binds of one node to be made anew.
type nodeBinds struct {
	node       string
	pid        int // of its init
	privileged bool
	binds      []topology.Bind
	places     places // of the whole node
}

// bindAnew mounts what sources name by now in nodes that run, in place of what is there. It returns notes for the user.
func bindAnew(init int, files *hostFiles, todo []nodeBinds) (notes []string, err error) {
	if len(todo) == 0 {
		return nil, nil
	}
	onOwnThread(func() { notes, err = bindHere(init, files, todo) })
	return notes, err
}

// bindHere is bindAnew on the calling thread, which is left in foreign namespaces.
func bindHere(init int, files *hostFiles, todo []nodeBinds) (notes []string, err error) {
	m, err := newRebinder()
	if err != nil {
		return nil, &Error{Op: "bind files anew", Err: err}
	}
	defer m.close()
	for _, t := range todo {
		for _, b := range t.binds {
			more, err := m.bind(t, init, files, b)
			if err != nil {
				return notes, &Error{Node: t.node, Op: "bind anew", Object: b.Target, Err: err}
			}
			notes = append(notes, more...)
		}
	}
	return notes, nil
}

// rebinder is a thread that goes from mount namespace to mount namespace.
type rebinder struct {
	own  int // a private copy of the host's mount namespace
	proc int // the host's /proc/thread-self/fd, which names descriptors in any mount namespace
}

func newRebinder() (*rebinder, error) {
	if err := failpoint.Hit("unshare", "binds"); err != nil {
		return nil, err
	}
	// Sources are copied from a namespace that is nobody's peer: what is mounted later does not appear in nodes.
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return nil, fmt.Errorf("create a private mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("create a private mount namespace: %w", err)
	}
	own, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	proc, err := unix.Open("/proc/thread-self/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = unix.Close(own)
		return nil, err
	}
	return &rebinder{own, proc}, nil
}

func (m *rebinder) close() { closeFDs([]int{m.own, m.proc}) }

// bind mounts what a bind's source names in a node.
func (m *rebinder) bind(t nodeBinds, init int, files *hostFiles, b topology.Bind) (notes []string, err error) {
	process := "/proc/" + strconv.Itoa(t.pid)
	mnt, err := unix.Open(process+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(mnt)
	n := bindNode{t.node, -1, 0}
	if !t.privileged {
		if n.userns, err = unix.Open(process+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return nil, err
		}
		defer unix.Close(n.userns)
		if n.base, err = firstIDOf(t.pid); err != nil {
			return nil, err
		}
	}
	root, err := unix.Open(process+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	if !childOf(t.pid, init) {
		return nil, errors.New("its init has ended")
	}
	source, err := files.openSource(b, n)
	if err != nil {
		return nil, err
	}
	defer unix.Close(source.fd)
	notes = source.notes(t.node, b)
	at, err := openTarget(root, b.Target)
	if err != nil {
		return moved(t.node, b, err)
	}
	defer unix.Close(at.fd)
	mounts, err := mountsOf(t.pid)
	if err != nil {
		return nil, err
	}
	defer mounts.Close()
	if own, err := t.places.ownDoing(mounts, at, b.Target); err != nil {
		return nil, err
	} else if own {
		return moved(t.node, b, errElse)
	}
	switch {
	case at.mounted && at.id == source.id:
		return notes, nil
	case at.id.dir != source.id.dir:
		return nil, errors.New(bindOther.reason(b))
	}
	if err := failpoint.Hit("bind", b.Target); err != nil {
		return nil, err
	}
	if err := unix.Setns(mnt, unix.CLONE_NEWNS); err != nil {
		return nil, fmt.Errorf("enter its mount namespace: %w", err)
	}
	more, err := m.replace(t, mounts, source.fd, root, at, b)
	return append(notes, more...), errors.Join(err, unix.Setns(m.own, unix.CLONE_NEWNS))
}

// errElse is what stands in for an error where a bind's path leads to something else of nsnet's.
var errElse = errors.New("it leads to another mount")

// moved tells that a node has a bind's path lead elsewhere, or nowhere. That is no error of the lab, whose other nodes go on.
func moved(node string, b topology.Bind, err error) (notes []string, _ error) {
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, nil
	case errors.Is(err, errElse), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.EXDEV), errors.Is(err, unix.EACCES):
		return []string{fmt.Sprintf("node %s has moved the place of its bind %s, which is left as it is: %v", node, b.Target, err)}, nil
	}
	return nil, err
}

// replace puts a tree of mounts in the place of what is at a node's path. The calling thread is in the node's mount namespace. From
// Linux 6.5 on who looks sees the old or the new. Before, a mount cannot be put below another, nor above a file that has no
// name any more, and for a moment the node has what is below both. move_mount(2).
func (m *rebinder) replace(t nodeBinds, mounts io.ReadSeeker, tree, root int, at target, b topology.Bind) (notes []string, err error) {
	const flags, beneath = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH, 0x200 // MOVE_MOUNT_BENEATH
	if !at.mounted {
		return nil, unix.MoveMount(tree, "", at.fd, "", flags)
	}
	err = unix.MoveMount(tree, "", at.fd, "", flags|beneath)
	switch {
	case err == nil:
		return nil, m.unmount(at.fd)
	case !errors.Is(err, unix.EINVAL):
		return nil, err
	}
	if err := m.unmount(at.fd); err != nil {
		return nil, err
	}
	place, err := openTarget(root, b.Target)
	if err != nil {
		return moved(t.node, b, err)
	}
	defer unix.Close(place.fd)
	// The node could act between the two.
	if own, err := t.places.ownDoing(mounts, place, b.Target); err != nil || own {
		if own {
			err = errElse
		}
		return moved(t.node, b, err)
	}
	return nil, unix.MoveMount(tree, "", place.fd, "", flags)
}

// unmount takes a mount off by a descriptor of its root, as the node decides what its paths mean.
func (m *rebinder) unmount(fd int) error {
	if err := unix.Fchdir(m.proc); err != nil {
		return err
	}
	return unix.Unmount(strconv.Itoa(fd), unix.MNT_DETACH)
}
