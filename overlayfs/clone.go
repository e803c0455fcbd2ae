package overlayfs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
)

// Clone makes a detached copy of the mount at path, with these attributes, and idmapped
// when userns is not negative: what root owns there, root of that user namespace owns in
// the copy. open_tree(2), mount_setattr(2). A file system without idmapped mounts is errors.ErrUnsupported.
func Clone(path string, attr uint64, userns int, recursive bool) (int, error) {
	return cloneFrom(unix.AT_FDCWD, path, path, attr, userns, recursive)
}

// CloneOf is Clone of what is open, by a descriptor of the calling thread's mount namespace; O_PATH will do.
func CloneOf(f *os.File, attr uint64, userns int, recursive bool) (int, error) {
	return cloneFrom(int(f.Fd()), "", f.Name(), attr, userns, recursive)
}

func cloneFrom(dir int, at, path string, attr uint64, userns int, recursive bool) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	set := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
		set |= unix.AT_RECURSIVE
	}
	if err := failpoint.Hit("open_tree", path); err != nil {
		return -1, fmt.Errorf("open %s: %w", path, err)
	}
	if at == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	fd, err := unix.OpenTree(dir, at, flags)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", path, err)
	}
	a := unix.MountAttr{Attr_set: attr}
	if userns >= 0 {
		a.Attr_set |= unix.MOUNT_ATTR_IDMAP
		a.Userns_fd = uint64(userns)
	}
	if a.Attr_set == 0 {
		return fd, nil
	}
	if err := unix.MountSetattr(fd, "", set, &a); err != nil {
		_ = unix.Close(fd)
		return -1, attributeError(path, userns, err)
	}
	return fd, nil
}

// attributeError is why a mount cannot have attributes, or be idmapped.
func attributeError(path string, userns int, err error) error {
	if userns >= 0 && errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: idmapped mounts of the file system of %s: tmpfs has them from Linux 6.3 on, ext4 and xfs from 5.12, btrfs from 5.15", errors.ErrUnsupported, path)
	}
	return fmt.Errorf("set attributes of the mount of %s: %w", path, err)
}

// attach attaches a detached mount to a directory, and closes it.
func attach(fd int, at string) error {
	defer unix.Close(fd)
	if err := failpoint.Hit("mount", at); err != nil {
		return fmt.Errorf("attach to %s: %w", at, err)
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attach to %s: %w", at, err)
	}
	return nil
}
