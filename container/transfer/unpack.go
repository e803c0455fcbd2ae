package transfer

import (
	"archive/tar"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// maxName bounds a name of an archive (PATH_MAX).
const maxName = 4096

// ErrEmpty is of an archive in which nothing is.
var ErrEmpty = errors.New("the archive is empty")

// Unpack reads an archive and puts what is in it at dst, as cp(1) does: into dst under the name base
// where dst is a directory, else as dst itself. A base of "." puts the content of a directory into dst.
func Unpack(r io.Reader, dst, base string) error {
	t := tar.NewReader(r)
	h, err := t.Next()
	if errors.Is(err, io.EOF) {
		return ErrEmpty
	}
	if err != nil {
		return err
	}
	if h.Name != "." && h.Name != "./" {
		return fmt.Errorf("the archive begins with %q", h.Name)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return unpackDir(t, h, dst, base)
	case tar.TypeReg:
		return unpackFile(t, h, dst, base)
	}
	return errors.New("the archive is of neither a file nor a directory")
}

func unpackDir(t *tar.Reader, h *tar.Header, dst, base string) error {
	fi, err := os.Stat(dst)
	switch {
	case err == nil && !fi.IsDir():
		return fmt.Errorf("%s is a file: a directory cannot be copied to it", dst)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent, name := dst, base
	if err != nil {
		parent, name = filepath.Dir(filepath.Clean(dst)), filepath.Base(dst)
	}
	root, err := os.OpenRoot(parent)
	if err != nil {
		return err
	}
	if name != "." {
		// In the open directory: somebody else's may be exchanged for a link right after it was made.
		in := root
		defer in.Close()
		if err := in.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if root, err = in.OpenRoot(name); err != nil {
			return err
		}
	}
	defer root.Close()
	u := unpacker{root: root, tar: t, dirs: []*tar.Header{h}}
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return u.finish()
		}
		if err == nil {
			err = u.add(h)
		}
		if err != nil {
			return err
		}
	}
}

func unpackFile(t *tar.Reader, h *tar.Header, dst, base string) error {
	fi, err := os.Stat(dst)
	if own, lerr := os.Lstat(dst); lerr == nil && (err != nil || !fi.IsDir()) && !own.Mode().IsRegular() {
		// Such as a link, /dev/stdout or a named pipe: cp(1) would write to where it leads.
		return fmt.Errorf("%s is neither a file nor a directory: it is not replaced, and not written to", dst)
	}
	switch {
	case err == nil && fi.IsDir():
		dst = filepath.Join(dst, base)
	case err != nil && errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(dst, "/"):
		return fmt.Errorf("%s: there is no such directory", dst)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(dst))
	if err != nil {
		return err
	}
	defer root.Close()
	u := unpacker{root: root, tar: t}
	h.Name = filepath.Base(dst)
	return u.add(h)
}

// unpacker writes beneath one directory.
type unpacker struct {
	root *os.Root
	tar  *tar.Reader
	dirs []*tar.Header // whose permissions and times are set at the end: they may forbid to write
}

func (u *unpacker) add(h *tar.Header) error {
	name := strings.TrimSuffix(h.Name, "/")
	if len(name) > maxName || name == "." || !filepath.IsLocal(name) || filepath.Clean(name) != name {
		return fmt.Errorf("the archive has an entry %.80q", h.Name)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		h.Name = name
		u.dirs = append(u.dirs, h)
		fi, err := u.root.Lstat(name)
		if err == nil && fi.IsDir() {
			return nil
		}
		return u.root.Mkdir(name, 0o700)
	case tar.TypeSymlink:
		if err := u.clear(name); err != nil {
			return err
		}
		return u.root.Symlink(h.Linkname, name)
	case tar.TypeReg:
		return u.file(h, name)
	}
	return fmt.Errorf("%s is of a kind that is not copied", name)
}

// clear removes what is no directory at a name.
func (u *unpacker) clear(name string) error {
	fi, err := u.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if fi.IsDir() {
		return fmt.Errorf("%s is a directory: it is not replaced", filepath.Join(u.root.Name(), name))
	}
	return u.mounted(name, u.root.Remove(name))
}

// mounted says in words that a file cannot be replaced because something is mounted at it.
func (u *unpacker) mounted(name string, err error) error {
	if !errors.Is(err, syscall.EBUSY) {
		return err
	}
	return fmt.Errorf("%s is a mount point and is not replaced; what a bind shows there is changed at its source on the host: %w", filepath.Join(u.root.Name(), name), err)
}

// refused says of a file that cannot be made which one that is: the name that it is made under is nobody's.
func (u *unpacker) refused(name string, err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		err = e.Err
	}
	if errors.Is(err, syscall.EROFS) {
		err = fmt.Errorf("%w: a bind is read-only unless the file says rw", err)
	}
	return fmt.Errorf("copy %s: %w", filepath.Join(u.root.Name(), name), err)
}

// file writes a file beside its place and then puts it there: nobody sees half of it, and a link in its
// place is replaced and not followed.
func (u *unpacker) file(h *tar.Header, name string) error {
	fi, err := u.root.Lstat(name)
	if err == nil && fi.IsDir() {
		return fmt.Errorf("%s is a directory: it is not replaced", filepath.Join(u.root.Name(), name))
	}
	part := filepath.Join(filepath.Dir(name), ".nsnet-cp-"+rand.Text())
	f, err := u.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return u.refused(name, err)
	}
	_, err = io.Copy(f, u.tar)
	err = errors.Join(err, f.Chmod(mode(h)), f.Close())
	if err == nil {
		err = u.root.Chtimes(part, time.Now(), h.ModTime)
	}
	if err == nil {
		err = u.mounted(name, u.root.Rename(part, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("copy %s: %w", name, err), u.root.Remove(part))
	}
	return nil
}

// finish gives the directories their permissions and times, the innermost first.
func (u *unpacker) finish() error {
	for i := len(u.dirs) - 1; i >= 0; i-- {
		h := u.dirs[i]
		if err := errors.Join(u.root.Chmod(h.Name, mode(h)), u.root.Chtimes(h.Name, time.Now(), h.ModTime)); err != nil {
			return err
		}
	}
	return nil
}

// mode is the permissions of an entry, without what would give privileges.
func mode(h *tar.Header) fs.FileMode { return fs.FileMode(h.Mode) & fs.ModePerm }
