package transfer

import (
	"errors"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/inroot"
)

// Opener opens what is at a path that somebody has given: a descriptor of O_PATH, closed on exec. What is below it
// is opened from there, name by name, without links.
type Opener func(path string) (fd int, err error)

// Typed opens a path of the host that was typed. It may lead through directories of other users, and is refused where
// it leads through their links. See [inroot.Path].
func Typed(path string) (fd int, err error) { return inroot.Path(path) }

// Inside opens a path in a node, where every link leads where it leads for the node's root.
func Inside(path string) (fd int, err error) {
	if fd, err = openat(unix.AT_FDCWD, path, unix.O_PATH); err != nil {
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// below opens a name in an open directory, and no link there.
func below(dir int, name string, flags int) (int, error) {
	return openat(dir, name, flags|unix.O_NOFOLLOW)
}

// openat is openat(2), which begins anew where a signal of the Go runtime has ended it. A file that is made is its owner's alone.
func openat(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0o600)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// reading are the flags that a file is read with: what has become a named pipe or a terminal must not stop anybody.
const reading = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY

// again opens for reading what a descriptor of O_PATH is of.
func again(fd int) (int, error) {
	return openat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), reading)
}

// statOf returns the properties of an open file. fstat(2).
func statOf(fd int) (st unix.Stat_t, err error) {
	err = os.NewSyscallError("fstat", unix.Fstat(fd, &st))
	return st, err
}

func kindOf(st *unix.Stat_t) uint32 { return st.Mode & unix.S_IFMT }
