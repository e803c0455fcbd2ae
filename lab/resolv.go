package lab

import (
	"errors"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/dns"
	"github.com/nsnet/nsnet/internal/inroot"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

const resolvConf = "etc/resolv.conf"

// writeResolv gives a node that runs the resolv.conf of the file or, where that has none any more, the one of its image.
func (c *change) writeResolv(n *topology.Node, s *proto.NodeState) error {
	base := c.firstID(n, s)
	if n.DNS != nil {
		return c.replaceResolv(s, dns.ResolvConf(*n.DNS), base)
	}
	content, err := c.imageResolv(n)
	if err != nil {
		return err
	}
	return c.replaceResolv(s, content, base)
}

// firstID is the id outside of a node's root.
func (c *change) firstID(n *topology.Node, s *proto.NodeState) int {
	if n.Privileged {
		return 0
	}
	return int(c.rec.ids().of(s.Slot))
}

// imageResolv returns what a node's image and layers have as resolv.conf, nil where that is nothing.
func (c *change) imageResolv(n *topology.Node) ([]byte, error) {
	m := mounter{images: c.images}
	paths, done, err := c.files.openDirs(m.branchPaths(n))
	if err != nil {
		return nil, err
	}
	defer done()
	for _, dir := range paths {
		if dir == "/" {
			if b := hostResolvConf(); b != nil {
				return b, nil
			}
		}
		b, err := readBelow(dir, resolvConf)
		if !errors.Is(err, unix.ENOENT) {
			return b, err
		}
	}
	return nil, nil
}

// readBelow reads a regular file of a tree that somebody else has filled. What is no file, as a whiteout or a link that leads nowhere there, has no
// content; ENOENT is that there is nothing of the name.
func readBelow(dir, path string) ([]byte, error) {
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(root)
	there, err := inroot.Open(root, path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir + "/" + path, Err: err}
	}
	defer unix.Close(there)
	f, _, err := inroot.Regular(root, path, unix.O_RDONLY, 0)
	if errors.Is(err, unix.ENOENT) || itsOwnDoing(err) {
		return nil, nil // a link that leads nowhere, a whiteout, or what else is no file
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const most = 1 << 20
	return io.ReadAll(io.LimitReader(f, most))
}

// replaceResolv writes a node's resolv.conf, or takes it away where content is nil. One that is a link is replaced by a file, as where a node is
// started. What is mounted there is left alone. A file is made as the node's root, whose id outside is base: nobody else has one in its
// file system.
func (c *change) replaceResolv(s *proto.NodeState, content []byte, base int) error {
	etc, err := c.openIn(s, "etc")
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.ENOENT) {
		return nil // the node's own affair
	}
	if err != nil {
		return err
	}
	defer unix.Close(etc)
	var st unix.Stat_t
	if err := unix.Fstat(etc, &st); err != nil {
		return err
	}
	if !ownedBy(st.Uid, base) {
		return errNotItsOwn
	}
	const name = "resolv.conf"
	err = unix.Fstatat(etc, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == nil && content != nil && st.Mode&unix.S_IFMT == unix.S_IFREG:
		return c.rewriteIn(s, resolvConf, content, base)
	case err == nil:
		if err := unix.Unlinkat(etc, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			if errors.Is(err, unix.EBUSY) {
				return nil // something is mounted on it
			}
			return &os.PathError{Op: "remove", Path: resolvConf, Err: err}
		}
	case !errors.Is(err, unix.ENOENT):
		return &os.PathError{Op: "look at", Path: resolvConf, Err: err}
	}
	if content == nil {
		return nil
	}
	made := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, whose ids are others now, ends with this goroutine
		made <- makeAs(base, etc, name, content)
	}()
	return <-made
}

// makeAs makes a file as the user of an id. setfsuid(2).
func makeAs(id, dir int, name string, content []byte) error {
	if err := unix.Setfsgid(id); err != nil {
		return err
	}
	if err := unix.Setfsuid(id); err != nil {
		return err
	}
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return &os.PathError{Op: "create", Path: resolvConf, Err: err}
	}
	f := os.NewFile(uintptr(fd), resolvConf)
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	return errors.Join(err, f.Close())
}
