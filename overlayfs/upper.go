package overlayfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
)

// Upper is a directory that an overlay writes in place: the layer, and the work directory beside it, both in one open directory. The
// names may be in the hands of somebody who is not to be trusted: none of them is followed.
type Upper struct {
	Parent   int // O_PATH; Mount leaves it open
	Layer    string
	Dev, Ino uint64 // of the layer
	Work     string
}

// mount mounts an overlay of all branches but the first, which is the upper layer. Files that are made through it
// belong on the disk to the ids that the node sees.
func (u *Upper) mount(s *Spec, at string) error {
	below := *s
	below.Branches = s.Branches[1:]
	paths, err := below.branch(0)
	if err != nil {
		return err
	}
	lower, err := s.lower(paths)
	if err != nil {
		return err
	}
	clone, err := u.clone(s)
	if err != nil {
		return err
	}
	defer unix.Close(clone)
	up := filepath.Join(s.Scratch, "up")
	if err := os.Mkdir(up, 0o755); err != nil {
		return err
	}
	// Overlayfs takes both directories from one mount, which is attached where nobody looks.
	if err := failpoint.Hit("mount", up); err != nil {
		return fmt.Errorf("attach to %s: %w", up, err)
	}
	if err := unix.MoveMount(clone, "", unix.AT_FDCWD, up, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attach to %s: %w", up, err)
	}
	layer, err := u.open(clone, u.Layer)
	if err != nil {
		return err
	}
	defer unix.Close(layer)
	var st unix.Stat_t
	if err := unix.Fstat(layer, &st); err != nil || st.Dev != u.Dev || st.Ino != u.Ino {
		return fmt.Errorf("the layer %s is another directory now", u.Layer)
	}
	work, err := u.open(clone, u.Work)
	if err != nil {
		return err
	}
	defer unix.Close(work)
	name := func(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }
	data := "lowerdir=" + lower + ",upperdir=" + name(layer) + ",workdir=" + name(work) + Options + ",uuid=off" // else a mark of it stays in the layer
	if err := As(s.Base, func() error { return unix.Mount("overlay", at, "overlay", unix.MS_NOSUID|unix.MS_NODEV, data) }); err != nil {
		return fmt.Errorf("mount an overlay that writes %s: %w", u.Layer, err)
	}
	return nil
}

// clone is a detached copy of the mount that the layer is on, from its parent down.
func (u *Upper) clone(s *Spec) (int, error) {
	if err := failpoint.Hit("open_tree", u.Layer); err != nil {
		return -1, fmt.Errorf("open %s: %w", u.Layer, err)
	}
	fd, err := unix.OpenTree(u.Parent, "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open the directory of %s: %w", u.Layer, err)
	}
	a := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if s.Userns >= 0 {
		a.Attr_set |= unix.MOUNT_ATTR_IDMAP
		a.Userns_fd = uint64(s.Userns)
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &a); err != nil {
		_ = unix.Close(fd)
		return -1, attributeError(u.Layer, s.Userns, err)
	}
	return fd, nil
}

func (u *Upper) open(parent int, path string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV}
	fd, err := unix.Openat2(parent, path, &how)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", path, err)
	}
	return fd, nil
}
