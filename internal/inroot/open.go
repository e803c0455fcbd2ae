package inroot

import (
	"errors"

	"golang.org/x/sys/unix"
)

// tries bounds how often an open starts again. A machine on which it fails so often does nothing but rename.
const tries = 10_000

// OpenReal opens an absolute path that has to be without symbolic links: one that has become a link, or is below one by now, is
// ELOOP. The descriptor is closed on exec.
func OpenReal(path string, flags int) (fd int, err error) {
	return OpenRealAt(unix.AT_FDCWD, path, flags)
}

// OpenRealAt is OpenReal of a path that begins at an open directory.
func OpenRealAt(dir int, path string, flags int) (fd int, err error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	for range tries {
		if fd, err = unix.Openat2(dir, path, &how); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return fd, err
}

// Open opens path below the directory root. Absolute links and ".." lead to root at most, and no link of /proc leads
// anywhere. Resolve may have more of openat2(2)'s RESOLVE flags. The descriptor is closed on exec.
func Open(root int, path string, flags int, resolve uint64) (fd int, err error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | resolve}
	for range tries {
		fd, err = unix.Openat2(root, path, &how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return fd, err
}
