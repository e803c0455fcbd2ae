package origin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/inroot"
)

// File is a topology file that is open for reading.
type File struct {
	*os.File
	// Path is the file's, absolute and without symbolic links. Empty: it is no file that has one, but a pipe, or what a link of
	// /proc leads to, and has no directory.
	Path string
	Info fs.FileInfo // of the file; nil where Path is empty
	// Dir is the directory that Path is in. Nil: there is no path, or the caller may not look at its directory.
	Dir fs.FileInfo
}

// opens is how often a file is opened that is exchanged for another one meanwhile, as by an editor.
const opens = 5

var errMoved = errors.New("it was moved or replaced at that moment; run the command again")

// Open opens what name leads to. It never waits for the other end of a pipe, and opens no device, socket or pipe but by a link of
// /proc, which leads to what somebody has open already. openat2(2).
func Open(name string) (f *File, err error) {
	for range opens {
		if f, err = open(name); !errors.Is(err, errMoved) {
			break
		}
	}
	return f, err
}

func open(name string) (*File, error) {
	fail := func(err error) (*File, error) { return nil, &fs.PathError{Op: "open", Path: name, Err: err} }
	there, named, err := lookUp(name)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(there)
	var st unix.Stat_t
	if err := unix.Fstat(there, &st); err != nil {
		return fail(err)
	}
	switch kind := inroot.Kind(&st); {
	case kind == "directory":
		return nil, fmt.Errorf("%s is a directory; name the file in it", name)
	case kind == "named pipe" && named:
		return nil, fmt.Errorf("%s is a named pipe and not a file; its text can be given as standard input", name)
	case kind != "" && named:
		return nil, fmt.Errorf("%s is a %s and not a file", name, kind)
	}
	// A pipe whose other end nobody has open is at its end, and not waited for.
	r, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(there), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		var e *fs.PathError
		if errors.As(err, &e) {
			err = e.Err
		}
		return fail(err)
	}
	f := &File{File: r}
	if named {
		if err := f.find(there); err != nil {
			r.Close()
			return fail(err)
		}
	}
	return f, nil
}

// lookUp finds what a name leads to without opening it (O_PATH), and tells whether it is named: no link of /proc has led there.
func lookUp(name string) (fd int, named bool, err error) {
	const flags = unix.O_PATH | unix.O_CLOEXEC
	how := unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_NO_MAGICLINKS}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		fd, err = unix.Openat2(unix.AT_FDCWD, name, &how)
	}
	if !errors.Is(err, unix.ELOOP) {
		return fd, err == nil, err
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		fd, err = unix.Open(name, flags, 0)
	}
	return fd, false, err
}

// find finds the path of the file, of which there is a descriptor.
func (f *File) find(fd int) error {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil || !filepath.IsAbs(path) {
		return nil //nolint:nilerr // there is no path to it from here, so that it is as text from a pipe
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	dir, err := inroot.OpenReal(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY)
	if errors.Is(err, unix.EACCES) && os.Geteuid() != 0 { // and who is not root makes no lab
		f.Path, f.Info = path, info
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errMoved, err)
	}
	d := os.NewFile(uintptr(dir), filepath.Dir(path))
	defer d.Close()
	var st unix.Stat_t
	err = unix.Fstatat(dir, filepath.Base(path), &st, unix.AT_SYMLINK_NOFOLLOW)
	if is, ok := info.Sys().(*syscall.Stat_t); err != nil || !ok || st.Dev != is.Dev || st.Ino != is.Ino {
		return errMoved
	}
	of, err := d.Stat()
	if err != nil {
		return err
	}
	f.Path, f.Info, f.Dir = path, info, of
	return nil
}
