package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

func isDir(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }

func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// directory makes a directory, or gives one that is there the entry's attributes.
func (u *unpacker) directory(name string, h *tar.Header) error {
	if name == "." {
		fd, err := unix.Openat(u.root, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return u.attributes(fd, name, h)
	}
	parent, err := u.parent(path.Dir(name))
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	base := path.Base(name)
	var st unix.Stat_t
	err = unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	hides := err == nil && isWhiteout(&st)
	if err != nil || !isDir(&st) {
		if err := u.clear(parent, base); err != nil {
			return err
		}
		if err := unix.Mkdirat(parent, base, 0o700); err != nil {
			return fmt.Errorf("create the directory: %w", err)
		}
	}
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the directory: %w", err)
	}
	defer unix.Close(fd)
	if hides {
		// The layer took the one below away and has another: they must not be merged.
		if err := setOpaque(fd); err != nil {
			return err
		}
	}
	return u.attributes(fd, name, h)
}

// file makes a regular file.
func (u *unpacker) file(parent int, base string, h *tar.Header, r io.Reader) error {
	// Before anything is written: a sparse file comes out of a few bytes.
	if size := u.o.Limits.Size; size > 0 && (h.Size > size || u.res.Size+h.Size > size) {
		return fmt.Errorf("%w: more than %d MiB uncompressed", ErrLimit, size>>20)
	}
	fd, err := unix.Openat(parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("create the file: %w", err)
	}
	f := os.NewFile(uintptr(fd), base)
	content := &meter{r: r, in: u.in, limits: &u.o.Limits, out: u.res.Size, budget: u.o.Budget}
	_, err = io.Copy(f, content)
	u.res.Size = content.out
	if err == nil {
		err = u.attributes(fd, "", h)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write the file: %w", err)
	}
	return nil
}

// hardLink makes one more name of a file of this layer.
func (u *unpacker) hardLink(parent int, base, name string, h *tar.Header) error {
	target, err := u.clean(h.Linkname)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", shorten(h.Linkname), err)
	}
	if target == "." {
		return fmt.Errorf("%w: a hard link to the image's root", ErrRefused)
	}
	if target == name {
		return nil
	}
	from, err := u.resolve(path.Dir(target), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("%w: a hard link to %q, which is not in the layer: %w", ErrRefused, shorten(target), err)
	}
	defer unix.Close(from)
	var st, own unix.Stat_t
	if err := unix.Fstatat(from, path.Base(target), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("%w: a hard link to %q, which is not in the layer: %w", ErrRefused, shorten(target), err)
	}
	if k := st.Mode & unix.S_IFMT; k != unix.S_IFREG && k != unix.S_IFLNK && k != unix.S_IFIFO {
		return fmt.Errorf("%w: a hard link to %q, which is no file", ErrRefused, shorten(target))
	}
	if err := unix.Fstatat(parent, base, &own, unix.AT_SYMLINK_NOFOLLOW); err == nil && own.Ino == st.Ino {
		return nil // one file already, perhaps by a link of a directory
	}
	if err := u.clear(parent, base); err != nil {
		return err
	}
	// Without AT_SYMLINK_FOLLOW a symbolic link is linked itself.
	if err := unix.Linkat(from, path.Base(target), parent, base, 0); err != nil {
		return fmt.Errorf("create the hard link to %q: %w", shorten(target), err)
	}
	return nil
}

// clear removes what has the name already.
func (u *unpacker) clear(parent int, base string) error {
	err := unix.Unlinkat(parent, base, 0)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		err = removeTree(parent, base)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove what was there: %w", err)
	}
	return nil
}

// removeTree removes a directory with all that is in it. Its depth is bounded by Limits.
func removeTree(parent int, base string) error {
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), base)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		err := unix.Unlinkat(fd, n, 0)
		if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
			err = removeTree(fd, n)
		}
		if err != nil {
			return err
		}
	}
	return unix.Unlinkat(parent, base, unix.AT_REMOVEDIR)
}

// What overlayfs knows an opaque directory by: the first when it is mounted with userxattr, in a node's user namespace,
// the second when the host's root mounts it, as before Linux 6.6.
const (
	opaqueUser    = "user.overlay.opaque"
	opaqueTrusted = "trusted.overlay.opaque"
)

// whiteout says that something of the layers below is gone; base begins with whPrefix.
func (u *unpacker) whiteout(dir, base string) error {
	if base == whOpaque {
		return u.opaque(dir)
	}
	name := base[len(whPrefix):]
	if name == "" || name == "." || name == ".." {
		return fmt.Errorf("%w: a whiteout of %q", ErrRefused, name)
	}
	parent, err := u.parent(dir)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	var st unix.Stat_t
	switch err := unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case err == nil && isDir(&st):
		fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open the directory: %w", err)
		}
		defer unix.Close(fd)
		return setOpaque(fd)
	case err == nil:
		return nil // this layer's own hides the one below
	case !errors.Is(err, unix.ENOENT):
		return err
	}
	if u.isOpaque(dir) {
		return nil // nothing below is seen here, and overlayfs would list the whiteout
	}
	if err := unix.Mknodat(parent, name, unix.S_IFCHR, 0); err != nil {
		return fmt.Errorf("create the whiteout: %w", err)
	}
	return nil
}

func (u *unpacker) opaque(dir string) error {
	parent, err := u.parent(dir)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	fd, err := unix.Openat(parent, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return dropWhiteouts(os.NewFile(uintptr(fd), dir), setOpaque(fd))
}

// dropWhiteouts closes a directory, without the whiteouts that it may have had before it became opaque.
func dropWhiteouts(dir *os.File, err error) error {
	defer dir.Close()
	if err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	for _, n := range names {
		var st unix.Stat_t
		fd := int(dir.Fd())
		if serr := unix.Fstatat(fd, n, &st, unix.AT_SYMLINK_NOFOLLOW); serr == nil && isWhiteout(&st) {
			err = errors.Join(err, unix.Unlinkat(fd, n, 0))
		}
	}
	return err
}

// setOpaque sets both marks. One is enough where the other cannot be: tmpfs has no attributes of users before Linux
// 6.6, when no overlay looks for them, and only the host's root may set trusted ones.
func setOpaque(fd int) error {
	err := unix.Fsetxattr(fd, opaqueUser, []byte("y"), 0)
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("mark the directory opaque: %w", err)
	}
	terr := unix.Fsetxattr(fd, opaqueTrusted, []byte("y"), 0)
	switch {
	case terr == nil, err == nil && (errors.Is(terr, unix.EPERM) || errors.Is(terr, unix.EOPNOTSUPP)):
		return nil
	case err != nil:
		return fmt.Errorf("the store's file system has no extended attributes: %w", terr)
	}
	return fmt.Errorf("mark the directory opaque: %w", terr)
}

// isOpaque tells whether a directory, or one above it, hides what is below.
func (u *unpacker) isOpaque(dir string) bool {
	for ; ; dir = path.Dir(dir) {
		if fd, err := u.resolve(dir, unix.O_RDONLY|unix.O_DIRECTORY); err == nil {
			var b [1]byte
			n, err := unix.Fgetxattr(fd, opaqueUser, b[:])
			if err != nil {
				n, err = unix.Fgetxattr(fd, opaqueTrusted, b[:])
			}
			_ = unix.Close(fd)
			if err == nil && n == 1 && b[0] == 'y' {
				return true
			}
		}
		if dir == "." {
			return false
		}
	}
}
