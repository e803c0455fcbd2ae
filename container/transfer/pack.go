package transfer

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// maxUnsized is how much is read of a file that says it is empty.
const maxUnsized = 1 << 20

// Pack writes the file or directory at path as an archive. A symbolic link at path itself is followed if
// open does, those below are kept. What is below is opened in the directory above it, and told of by what was opened: whoever exchanges
// directories for links meanwhile leads nowhere. note is called for what is left out.
func Pack(w io.Writer, open Opener, path string, note func(string)) error {
	p := packer{tar: tar.NewWriter(w), note: note}
	if err := p.top(open, path); err != nil {
		return err
	}
	return p.tar.Close()
}

type packer struct {
	tar  *tar.Writer
	note func(string)
}

// top adds what is at a path, and all below it.
func (p *packer) top(open Opener, path string) error {
	at, err := open(path)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	st, err := statOf(at)
	if err != nil {
		return err
	}
	var fd int
	switch kindOf(&st) {
	case unix.S_IFDIR:
		if fd, err = openat(at, ".", unix.O_RDONLY|unix.O_DIRECTORY); err == nil {
			return p.dir(os.NewFile(uintptr(fd), path), ".")
		}
	case unix.S_IFREG:
		if fd, err = again(at); err == nil {
			return p.file(os.NewFile(uintptr(fd), path), ".")
		}
	default:
		return fmt.Errorf("%s is neither a file nor a directory", path)
	}
	return &fs.PathError{Op: "open", Path: path, Err: err}
}

// headerOf begins the entry of what was looked at.
func headerOf(st *unix.Stat_t, name string, kind byte) *tar.Header {
	return &tar.Header{Name: name, Typeflag: kind, Mode: int64(st.Mode & 0o777), ModTime: time.Unix(st.Mtim.Unix()).Truncate(time.Microsecond), Format: tar.FormatPAX}
}

// dir adds a directory under a name, and what is in it, and closes it.
func (p *packer) dir(d *os.File, name string) error {
	defer d.Close()
	st, err := statOf(int(d.Fd()))
	if err != nil {
		return err
	}
	if err := p.tar.WriteHeader(headerOf(&st, name, tar.TypeDir)); err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, child := range names {
		in := filepath.Join(name, child)
		if len(in) > maxName {
			return &fs.PathError{Op: "open", Path: d.Name(), Err: unix.ENAMETOOLONG}
		}
		if err := p.add(d, child, in); err != nil {
			return err
		}
	}
	return nil
}

// add adds what is in an open directory under a name.
func (p *packer) add(d *os.File, child, name string) error {
	dir, at := int(d.Fd()), filepath.Join(d.Name(), child)
	fail := func(op string, err error) error { return &fs.PathError{Op: op, Path: at, Err: err} }
	var st unix.Stat_t
	if err := unix.Fstatat(dir, child, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fail("lstat", err)
	}
	switch kindOf(&st) {
	case unix.S_IFDIR:
		fd, err := below(dir, child, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return fail("open", err)
		}
		return p.dir(os.NewFile(uintptr(fd), at), name)
	case unix.S_IFLNK:
		h := headerOf(&st, name, tar.TypeSymlink)
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(dir, child, target)
		if err != nil {
			return fail("readlink", err)
		}
		h.Linkname = string(target[:n])
		return p.tar.WriteHeader(h)
	case unix.S_IFREG:
		fd, err := below(dir, child, reading)
		if err != nil {
			return fail("open", err)
		}
		return p.file(os.NewFile(uintptr(fd), at), name)
	}
	p.note(at + " is neither a file, a directory nor a link, and is left out")
	return nil
}

// file adds a regular file, and closes it. One that becomes longer meanwhile is cut where it ended, one that becomes
// shorter is filled up with zeros: the size comes first.
func (p *packer) file(f *os.File, name string) error {
	defer f.Close()
	st, err := statOf(int(f.Fd()))
	if err != nil {
		return err
	}
	if kindOf(&st) != unix.S_IFREG {
		return fmt.Errorf("%s has become something else meanwhile", f.Name())
	}
	h := headerOf(&st, name, tar.TypeReg)
	if hasHoles(f, st.Size) {
		return p.pieces(f, h, st.Size)
	}
	h.Size = st.Size
	from := io.Reader(f)
	if h.Size == 0 { // as each file of proc says of itself
		b, err := io.ReadAll(io.LimitReader(f, maxUnsized))
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Name(), err)
		}
		h.Size, from = int64(len(b)), bytes.NewReader(b)
	}
	return p.content(from, h, f.Name())
}

// content adds an entry with as much of its content as it says.
func (p *packer) content(from io.Reader, h *tar.Header, at string) error {
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(p.tar, io.LimitReader(from, h.Size))
	if err != nil {
		return fmt.Errorf("copy %s: %w", at, err)
	}
	if n < h.Size {
		p.note(at + " has become shorter meanwhile")
		_, err = io.Copy(p.tar, io.LimitReader(zeros{}, h.Size-n))
	}
	return err
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
