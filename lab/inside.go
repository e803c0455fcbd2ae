package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/inroot"
	"github.com/nsnet/nsnet/lab/proto"
)

// rewrite gives a file other content, in place: it may be mounted, or have been opened, in many nodes.
func rewrite(path string, content []byte) error {
	if err := failpoint.Hit("write", "the common hosts"); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Truncate(int64(len(content)))
	}
	return errors.Join(err, f.Close())
}

// openIn opens a directory of a running node, on the file system of its root.
func (c *change) openIn(s *proto.NodeState, path string) (int, error) {
	root, err := c.rootOf(s)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	return inroot.Open(root, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, unix.RESOLVE_NO_XDEV)
}

// rootOf opens the root of a running node.
func (c *change) rootOf(s *proto.NodeState) (int, error) {
	root, err := unix.Open("/proc/"+strconv.Itoa(s.PID)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if !childOf(s.PID, c.rec.InitPID) {
		_ = unix.Close(root)
		return -1, errors.New("its init has ended")
	}
	return root, nil
}

// rewriteIn gives a file of a running node other content. Symbolic links in the node do not lead out of its root, and what
// is mounted there, as a bind of the file's, is left alone. Base is the node's first id outside: a file that is not
// the node's, as where a node with SYS_ADMIN has made a bind its root, is not written.
func (c *change) rewriteIn(s *proto.NodeState, path string, content []byte, base int) error {
	root, err := c.rootOf(s)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	f, st, err := inroot.Regular(root, path, unix.O_WRONLY, unix.RESOLVE_NO_XDEV)
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.ENOENT) {
		return nil // the node's own affair
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if !ownedBy(st.Uid, base) {
		return &fs.PathError{Op: "write", Path: path, Err: errNotItsOwn}
	}
	if err := failpoint.Hit("write in node", path); err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Truncate(int64(len(content)))
	}
	return errors.Join(err, f.Close())
}

// ownedBy tells whether an id is one of the node's whose first is base. Those of a privileged node are the host's.
func ownedBy(uid uint32, base int) bool {
	return base == 0 || int(uid) >= base && int(uid) < base+container.IDs
}

// errNotItsOwn is of a file that is seen in a node and belongs to somebody outside of it.
var errNotItsOwn = errors.New("it is not the node's own")

// itsOwnDoing tells whether an error is of what a node has made of its own files, or of the room that it has used up. It is no reason for an up to
// fail, which has other nodes to see to.
func itsOwnDoing(err error) bool {
	if errors.Is(err, inroot.ErrIrregular) || errors.Is(err, errNotItsOwn) {
		return true
	}
	for _, e := range []error{unix.ELOOP, unix.ENOTDIR, unix.EISDIR, unix.ENOTEMPTY, unix.EEXIST, unix.EACCES, unix.EPERM, unix.EROFS, unix.ENOSPC, unix.EDQUOT, unix.EWOULDBLOCK, unix.ETXTBSY,
		unix.ENAMETOOLONG, unix.EFBIG, unix.EXDEV, unix.ENXIO, unix.ENODEV, unix.EOVERFLOW, unix.ESTALE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// leftAlone notes that a file of a node is not as the lab's file wants it, where that is the node's own doing.
func (c *change) leftAlone(node, path string, err error) error {
	if err == nil || !itsOwnDoing(err) {
		return err
	}
	var e *fs.PathError
	if errors.As(err, &e) {
		err = e.Err
	}
	c.notes = append(c.notes, fmt.Sprintf("%s: its /%s stays as it is: %v; make it a file there, and restart the node", node, path, err))
	return nil
}
