package overlayfs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ErrChanging tells that a name stood for a file of one kind and, a moment later, of another.
var ErrChanging = errors.New("it changed while it was read")

// looks bounds how often a name is looked at whose file keeps changing.
const looks = 100

// openRegular opens a regular file of an open directory for reading. Links are not followed, devices and pipes not waited for, and
// what was opened is looked at once more: somebody may change the directory meanwhile. The error is ErrChanging when it is
// no regular file. openat(2).
func openRegular(dir int, name string) (fd int, st unix.Stat_t, err error) {
	fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO): // a link; a socket
		return -1, st, ErrChanging
	case err != nil:
		return -1, st, err
	}
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = ErrChanging
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, st, err
	}
	return fd, st, nil
}

// readLink returns what a symbolic link of an open directory stands for. The error is ErrChanging when it is no link. readlinkat(2).
func readLink(dir int, name string) (string, error) {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, target)
	if errors.Is(err, unix.EINVAL) {
		return "", ErrChanging
	}
	if err != nil {
		return "", err
	}
	return string(target[:n]), nil
}
