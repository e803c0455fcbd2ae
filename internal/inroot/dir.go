package inroot

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir opens a directory by a path of the host that may lead through directories of other users, for somebody who is
// about to write in it. It is Path, but that anything else is ENOTDIR.
func Dir(path string) (fd int, err error) {
	fd, err = Path(path)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		err = unix.ENOTDIR
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// Path opens whatever is at a path of the host that may lead through directories of other users: no symbolic link is
// followed but root's and the caller's own. Each component is looked up in the open directory before it, so that
// nobody can exchange one in between. The descriptor is one of O_PATH, closed on exec. The error is an *fs.PathError.
func Path(path string) (fd int, err error) {
	fail := func(err error) (int, error) { return -1, &fs.PathError{Op: "open", Path: path, Err: err} }
	abs, err := filepath.Abs(path)
	if err != nil {
		return fail(err)
	}
	const flags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	at, err := unix.Open("/", flags|unix.O_DIRECTORY, 0)
	if err != nil {
		return fail(err)
	}
	const maxLinks = 40
	links := 0
	for rest := strings.Split(abs, "/"); len(rest) > 0; {
		name := rest[0]
		if rest = rest[1:]; name == "" || name == "." {
			continue
		}
		next, err := unix.Openat(at, name, flags, 0)
		if err != nil {
			_ = unix.Close(at)
			return fail(err)
		}
		var st unix.Stat_t
		if err = unix.Fstat(next, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
			target, lerr := linkOf(next, &st)
			if err = lerr; err == nil && links == maxLinks {
				err = unix.ELOOP
			}
			_ = unix.Close(next)
			links++
			next = at
			if err == nil && strings.HasPrefix(target, "/") {
				_ = unix.Close(at)
				next, err = unix.Open("/", flags|unix.O_DIRECTORY, 0)
			}
			rest = append(strings.Split(target, "/"), rest...)
		} else {
			_ = unix.Close(at)
		}
		if at = next; err != nil {
			_ = unix.Close(at)
			return fail(err)
		}
	}
	return at, nil
}

// linkOf reads a link that may be followed.
func linkOf(fd int, st *unix.Stat_t) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", b)
	if err != nil {
		return "", err
	}
	target := string(b[:n])
	if uid := st.Uid; uid != 0 && uid != uint32(unix.Geteuid()) {
		return "", fmt.Errorf("%w: it leads through a link of user %d to %s: name that itself", ErrForeignLink, uid, target)
	}
	return target, nil
}

// ErrForeignLink is of a symbolic link that somebody else has made.
var ErrForeignLink = errors.New("others may change where this leads")
