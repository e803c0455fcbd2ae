package overlayfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// MaxArchive bounds the files of one layer that WriteTar writes, in bytes: as much as nsnet unpacks of one.
const MaxArchive = 8 << 30

// WriteTar writes a layer, open at dir, as the archive of an image's layer: whiteouts and opaque directories as the OCI image
// specification has them (layer.md), hard links, and extended attributes of users. A file whose name would be
// taken for a whiteout (".wh.") is an error, as is a layer of more than MaxArchive bytes.
func WriteTar(dir int, to io.Writer) error {
	w := archiver{out: tar.NewWriter(to), links: map[inode]string{}, left: MaxArchive}
	if err := w.dir(dir, ""); err != nil {
		return err
	}
	return w.out.Close()
}

const whiteoutPrefix = ".wh."

type archiver struct {
	out   *tar.Writer
	links map[inode]string
	left  int64
}

func (w *archiver) dir(dir int, prefix string) error {
	names, err := ReadNames(dir)
	if err != nil {
		return fmt.Errorf("read %q: %w", prefix, err)
	}
	if IsOpaque(dir) {
		if err := w.mark(prefix + whiteoutPrefix + whiteoutPrefix + ".opq"); err != nil {
			return err
		}
	}
	for _, name := range names {
		path := prefix + name
		if len(path) > MaxPath {
			return fmt.Errorf("%w, in %q", ErrTooDeep, path[:40])
		}
		if strings.HasPrefix(name, whiteoutPrefix) {
			return fmt.Errorf("%q cannot be in an image: a name that begins with %s means a deletion there", path, whiteoutPrefix)
		}
		if err := w.entry(dir, name, path); err != nil {
			return fmt.Errorf("archive %q: %w", path, err)
		}
	}
	return nil
}

// mark writes an empty file that says something by its name.
func (w *archiver) mark(path string) error {
	return w.out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: 0o600})
}

func (w *archiver) entry(dir int, name, path string) error {
	st, ok, err := stat(dir, name)
	if err != nil || !ok {
		return err
	}
	if IsWhiteout(st) {
		return w.mark(path[:len(path)-len(name)] + whiteoutPrefix + name)
	}
	h := &tar.Header{Name: path, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid), ModTime: time.Unix(st.Mtim.Unix())}
	if !isDir(st) && st.Nlink > 1 {
		key := inode{st.Dev, st.Ino}
		if first, ok := w.links[key]; ok {
			h.Typeflag, h.Linkname = tar.TypeLink, first
			return w.out.WriteHeader(h)
		}
		w.links[key] = path
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return w.subdir(dir, name, path, h)
	case unix.S_IFREG:
		return w.file(dir, name, h)
	case unix.S_IFLNK:
		target, err := readLink(dir, name)
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
	default:
		return nil // a socket is nothing without its process
	}
	return w.out.WriteHeader(h)
}

func (w *archiver) subdir(dir int, name, path string, h *tar.Header) error {
	fd, ok, err := openChild(dir, name)
	if err != nil || !ok {
		return err
	}
	defer unix.Close(fd)
	h.Typeflag, h.Name = tar.TypeDir, path+"/"
	if err := attributes(fd, h); err != nil {
		return err
	}
	if err := w.out.WriteHeader(h); err != nil {
		return err
	}
	return w.dir(fd, path+"/")
}

// file writes a regular file as long as it was when it was opened; what it has lost since then is zeros.
func (w *archiver) file(dir int, name string, h *tar.Header) error {
	fd, st, err := openRegular(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if w.left -= st.Size; w.left < 0 {
		return fmt.Errorf("the layer is larger than %d GiB", MaxArchive>>30)
	}
	h.Typeflag, h.Size = tar.TypeReg, st.Size
	if err := attributes(fd, h); err != nil {
		return err
	}
	if err := w.out.WriteHeader(h); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for at := int64(0); at < st.Size; {
		part := buf[:min(int64(len(buf)), st.Size-at)]
		n, err := unix.Pread(fd, part, at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			clear(part)
			n = len(part)
		}
		if _, err := w.out.Write(part[:n]); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

func attributes(fd int, h *tar.Header) error {
	all, err := userXattrs(fd)
	if err != nil {
		return err
	}
	for name, value := range all {
		if strings.Contains(name, "=") {
			continue // PAX cannot have it
		}
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+name] = string(value)
	}
	return nil
}
