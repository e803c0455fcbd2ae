package inroot

import (
	"errors"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrIrregular is of a path at which is no regular file: a directory, a pipe, a socket or a device.
var ErrIrregular = errors.New("it is not a regular file")

// irregular says what is there instead.
type irregular struct{ kind string }

func (e irregular) Error() string      { return "it is a " + e.kind + " and not a file" }
func (irregular) Is(target error) bool { return target == ErrIrregular }

// Regular opens a regular file below the directory root, as Open does. It never waits, and does nothing to what is there
// instead: opening a pipe would wait for its other end, opening a device is an act. What is there is looked at first,
// and the same file opened then. The error is an *fs.PathError, ErrIrregular for what is no regular file,
// EWOULDBLOCK where somebody has a lease on it (fcntl(2)).
func Regular(root int, path string, flags int, resolve uint64) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	fail := func(err error) (*os.File, unix.Stat_t, error) {
		return nil, st, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	there, err := Open(root, path, unix.O_PATH, resolve)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(there)
	if err := unix.Fstat(there, &st); err != nil {
		return fail(err)
	}
	if kind := Kind(&st); kind != "" {
		return fail(irregular{kind})
	}
	f, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(there), flags|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		var e *fs.PathError
		if errors.As(err, &e) {
			err = e.Err
		}
		return fail(err)
	}
	return f, st, nil
}

// Kind names what is no regular file: "directory", "named pipe", "socket", "symbolic link" or "device". It is empty for one. inode(7).
func Kind(st *unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return ""
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFIFO:
		return "named pipe"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFLNK:
		return "symbolic link"
	}
	return "device"
}
