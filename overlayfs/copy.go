package overlayfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Copy is for where there is no union to be had: all that the union shows is copied into its own writable layer. It is
// bounded by what that holds. File capabilities and ACLs are not copied.
type Copy struct{}

// Name is "copy".
func (Copy) Name() string { return "copy" }

// Check refuses writable branches: what is written to a copy is in no branch.
func (Copy) Check(branches []Branch) error {
	for _, b := range branches {
		if b.Writable {
			return fmt.Errorf("%w: a copy does not write to the layer %s in place; leave out rw, or use storage: fuse", errors.ErrUnsupported, b.Path)
		}
	}
	return nil
}

// copied names the file in Own that tells that the copy is whole.
const copied = "copied"

// Mount copies, unless that was done before, and returns a mount of the copy.
func (Copy) Mount(s *Spec) (int, error) {
	paths, err := s.branch(0)
	if err != nil {
		return -1, err
	}
	if err := s.inOwn("upper"); err != nil {
		return -1, err
	}
	upper := filepath.Join(s.Own, "upper")
	if !IsCopied(s.Own) {
		if err := As(s.Base, func() error { return copyUnion(upper, paths, s.Progress) }); err != nil {
			return -1, err
		}
	}
	return Clone(upper, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, -1, false)
}

// copyUnion fills upper. What an attempt that was killed has left there is removed first.
func copyUnion(upper string, paths []string, progress func(int)) error {
	entries, err := os.ReadDir(upper)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(upper, e.Name())); err != nil {
			return err
		}
	}
	m, err := OpenMerged(paths...)
	if err != nil {
		return err
	}
	defer m.Close()
	to, err := unix.Open(upper, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	c := copier{links: map[inode]string{}, root: to, progress: progress}
	if err := c.dir(m, to, "."); err != nil {
		if errors.Is(err, unix.ENOSPC) {
			err = fmt.Errorf("%w: the writable layer is too small for a copy of the layers; give it more with writable_size, or use persist: true", err)
		}
		return fmt.Errorf("copy the layers: %w", err)
	}
	return os.WriteFile(filepath.Join(filepath.Dir(upper), copied), nil, 0o600)
}

type inode struct{ dev, ino uint64 }

// copier copies a union. Names of one file stay names of one file.
type copier struct {
	links    map[inode]string // path of the first name, from root
	root     int
	files    int
	progress func(int)
}

// dir copies what a directory of the union has, then its owner, mode and times.
func (c *copier) dir(from *Merged, to int, path string) error {
	names, err := from.Names()
	if err != nil {
		return fmt.Errorf("read %q: %w", path, err)
	}
	for _, name := range names {
		if err := c.entry(from, to, filepath.Join(path, name), name); err != nil {
			return err
		}
	}
	return copyAttributes(from.dirs[0], to)
}

func (c *copier) entry(from *Merged, to int, path, name string) error {
	f, ok, err := from.Lookup(name)
	if err != nil || !ok {
		return err
	}
	if c.files++; c.progress != nil && c.files%1000 == 0 {
		c.progress(c.files)
	}
	fail := func(err error) error { return fmt.Errorf("%q: %w", path, err) }
	if !isDir(&f.Stat) && f.Stat.Nlink > 1 {
		key := inode{f.Stat.Dev, f.Stat.Ino}
		if first, ok := c.links[key]; ok {
			if err := unix.Linkat(c.root, first, to, name, 0); err != nil {
				return fail(err)
			}
			return nil
		}
		c.links[key] = path
	}
	switch f.Stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		sub, err := from.Sub(name)
		if err != nil {
			return fail(err)
		}
		defer sub.Close()
		if len(sub.dirs) == 0 {
			return nil // gone meanwhile
		}
		if err := unix.Mkdirat(to, name, 0o700); err != nil {
			return fail(err)
		}
		fd, err := unix.Openat(to, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return fail(err)
		}
		defer unix.Close(fd)
		return c.dir(sub, fd, path)
	case unix.S_IFREG:
		if err := copyFile(f.Dir, to, name); err != nil {
			return fail(err)
		}
		return nil
	}
	if err := copySpecial(f, to, name); err != nil {
		return fail(err)
	}
	return nil
}

// copyFile copies a regular file's content and attributes.
func copyFile(from, to int, name string) error {
	return copyFileAs(from, to, name, func(*unix.Stat_t) {})
}

// copyFileAs gives the copy the owner that the function makes of the file's. It copies the bytes that are there, at most as many as there
// were when it was opened, and leaves holes holes. Where the file is no regular one, nothing is made and the error is ErrChanging.
func copyFileAs(from, to int, name string, owner func(*unix.Stat_t)) error {
	in, st, err := openRegular(from, name)
	if errors.Is(err, unix.ENOENT) {
		return nil // it has vanished
	}
	if err != nil {
		return err
	}
	defer unix.Close(in)
	out, err := unix.Openat(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	if err := copyData(in, out, st.Size); err != nil {
		return err
	}
	return copyAttributesAs(in, out, owner)
}

// copyData copies size bytes, holes as holes where the file system tells of them. lseek(2), SEEK_DATA.
func copyData(in, out int, size int64) error {
	buf := make([]byte, 64<<10)
	for at := int64(0); at < size; {
		data, err := unix.Seek(in, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // a hole up to the end
		}
		end := size
		if err != nil {
			data = at
		} else if hole, err := unix.Seek(in, data, unix.SEEK_HOLE); err == nil && hole < size {
			end = hole
		}
		for at = data; at < end; {
			n, err := unix.Pread(in, buf[:min(int64(len(buf)), end-at)], at)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return err
			}
			if n == 0 {
				return unix.Ftruncate(out, at) // it has become shorter
			}
			for done := 0; done < n; {
				m, err := unix.Pwrite(out, buf[done:n], at+int64(done))
				if errors.Is(err, unix.EINTR) {
					continue
				}
				if err != nil {
					return err
				}
				done += m
			}
			at += int64(n)
		}
	}
	return unix.Ftruncate(out, size)
}

// copySpecial makes a symbolic link, pipe, socket or device like the one found.
func copySpecial(f Found, to int, name string) error {
	st := &f.Stat
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		target, err := readLink(f.Dir, name)
		if err != nil {
			return err
		}
		if err := unix.Symlinkat(target, to, name); err != nil {
			return err
		}
		return unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
	}
	if err := unix.Mknodat(to, name, st.Mode, int(st.Rdev)); err != nil {
		return err
	}
	if err := unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	// A fresh node of this name, which fchmodat(2) does not follow out of.
	return unix.Fchmodat(to, name, st.Mode&0o7777, 0)
}

// copyAttributes copies owner, mode, times and the user's extended attributes of an open file, but for an overlay's marks.
func copyAttributes(from, to int) error { return copyAttributesAs(from, to, func(*unix.Stat_t) {}) }

func copyAttributesAs(from, to int, owner func(*unix.Stat_t)) error {
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return err
	}
	owner(&st)
	if err := copyXattrs(from, to); err != nil {
		return err
	}
	if err := unix.Fchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(to, st.Mode&0o7777); err != nil {
		return err
	}
	return setTimes(to, &st)
}

// setTimes is futimens(3).
func setTimes(fd int, st *unix.Stat_t) error {
	return unix.UtimesNanoAt(fd, "", []unix.Timespec{st.Atim, st.Mtim}, unix.AT_EMPTY_PATH)
}

// maxXattrs bounds the attributes of one file, in bytes. xattr(7): XATTR_LIST_MAX and XATTR_SIZE_MAX.
const maxXattrs = 64 << 10

// userXattrs are the extended attributes of users that an open file has, but for an overlay's marks.
func userXattrs(fd int) (map[string][]byte, error) {
	list := make([]byte, maxXattrs)
	n, err := unix.Flistxattr(fd, list)
	if errors.Is(err, unix.EOPNOTSUPP) || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := map[string][]byte{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "user.overlay.") {
			continue
		}
		value := make([]byte, maxXattrs)
		n, err := unix.Fgetxattr(fd, name, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all[name] = value[:n]
	}
	return all, nil
}

func copyXattrs(from, to int) error {
	all, err := userXattrs(from)
	if err != nil {
		return err
	}
	for name, value := range all {
		// A tmpfs has none before Linux 6.6.
		if err := unix.Fsetxattr(to, name, value, 0); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// IsCopied tells whether Own, from an earlier mount, has a whole copy.
func IsCopied(own string) bool {
	_, err := os.Lstat(filepath.Join(own, copied))
	return err == nil
}
