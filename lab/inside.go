package lab

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

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
	return c.openRoot(s, path, unix.O_RDONLY|unix.O_DIRECTORY)
}

// openRoot opens a file or directory of a running node, which is on the file system of its root.
func (c *change) openRoot(s *proto.NodeState, path string, flags int) (int, error) {
	root, err := unix.Open("/proc/"+strconv.Itoa(s.PID)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	if !childOf(s.PID, c.rec.InitPID) {
		return -1, errors.New("its init has ended")
	}
	return inroot.Open(root, path, flags, unix.RESOLVE_NO_XDEV)
}

// rewriteIn gives a file of a running node other content. Symbolic links in the node do not lead out of its root, and what
// is mounted there, as a bind of the file's, is left alone.
func (c *change) rewriteIn(s *proto.NodeState, path string, content []byte) error {
	fd, err := c.openRoot(s, path, unix.O_WRONLY)
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.ENOENT) {
		return nil // the node's own affair
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	if err := failpoint.Hit("write in node", path); err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Truncate(int64(len(content)))
	}
	return errors.Join(err, f.Close())
}
