package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// destination is where something is put: in an open directory under a name, "." for the directory itself.
type destination struct {
	dir   int
	name  string
	shown string // how the directory is called
}

// destinationOf says where something goes that is copied to dst: into that under the name base if it is a directory, else
// to that name.
func destinationOf(open Opener, dst, base string, isDir bool) (destination, error) {
	var none destination
	fail := func(err error) (destination, error) {
		return none, &fs.PathError{Op: "open", Path: dst, Err: err}
	}
	if dst == "" {
		return fail(unix.ENOENT)
	}
	fd, err := open(dst)
	if err == nil {
		st, err := statOf(fd)
		if err == nil && kindOf(&st) == unix.S_IFDIR {
			return destination{fd, base, dst}, nil
		}
		_ = unix.Close(fd)
		switch {
		case err != nil:
			return fail(err)
		case isDir:
			return none, fmt.Errorf("%s is a file: a directory cannot be copied to it", dst)
		case strings.HasSuffix(dst, "/"):
			return fail(unix.ENOTDIR)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return none, err
	} else if !isDir && strings.HasSuffix(dst, "/") {
		return none, fmt.Errorf("%s: there is no such directory", dst)
	}
	clean := filepath.Clean(dst)
	to := destination{name: filepath.Base(clean), shown: filepath.Dir(clean)}
	if to.dir, err = open(to.shown); err != nil {
		return none, err
	}
	var st unix.Stat_t
	err = unix.Fstatat(to.dir, to.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == nil && !isDir && kindOf(&st) != unix.S_IFREG:
		// Such as a link, /dev/stdout or a named pipe: cp(1) would write to where it leads.
		err = fmt.Errorf("%s is neither a file nor a directory: it is not replaced, and not written to", dst)
	case errors.Is(err, unix.ENOENT):
		err = nil
	}
	if err != nil {
		_ = unix.Close(to.dir)
		return none, err
	}
	return to, nil
}
