package overlayfs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Mark is the extended attribute by which an overlay knows an opaque directory; its value is y.
type Mark string

// The marks: of an overlay that is mounted with userxattr, as in a user namespace, and of any other.
const (
	UserMark    Mark = "user.overlay.opaque"
	TrustedMark Mark = "trusted.overlay.opaque"
)

// errPath tells that an entry's path is not a plain relative one.
var errPath = errors.New("path leaves the layer")

// Apply makes entries below the directory that dirfd is open on; O_PATH is enough. A
// directory comes before what it holds. Only "." may be there already. Apply stops at
// the first error; paths with "..", absolute ones and those through symbolic links are
// errors.
//
// It needs CAP_CHOWN, CAP_FOWNER and CAP_DAC_OVERRIDE for other people's files, and for opaque
// directories with TrustedMark CAP_SYS_ADMIN of the host. On a tmpfs UserMark needs Linux 6.6:
// before, the error wraps EOPNOTSUPP.
func Apply(dirfd int, entries []Entry, mark Mark) error {
	w := &layerWriter{root: dirfd, mark: mark}
	defer w.ascend(0)
	for i := range entries {
		if err := w.write(&entries[i]); err != nil {
			return fmt.Errorf("make %s %q: %w", entries[i].Kind, entries[i].Path, err)
		}
	}
	return nil
}

// layerWriter makes entries. It keeps the directories on the way to the last one open,
// so that entries in order cost no look-ups, and every step is one name relative to a
// descriptor.
type layerWriter struct {
	root int
	mark Mark
	open []openDir
}

type openDir struct {
	name string
	fd   int
}

func (w *layerWriter) write(e *Entry) error {
	if e.Path == "." {
		if e.Kind != Dir && e.Kind != Opaque {
			return errPath
		}
		fd, err := unix.Openat(w.root, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return w.setDir(fd, e)
	}
	names := strings.Split(e.Path, "/")
	for _, name := range names {
		if name == "" || name == "." || name == ".." || strings.IndexByte(name, 0) >= 0 {
			return errPath
		}
	}
	parent, err := w.descend(names[:len(names)-1])
	if err != nil {
		return err
	}
	name := names[len(names)-1]
	switch e.Kind {
	case Dir, Opaque:
		if err := unix.Mkdirat(parent, name, 0o700); err != nil {
			return err
		}
		fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		w.open = append(w.open, openDir{name, fd})
		return w.setDir(fd, e)
	case Whiteout:
		return unix.Mknodat(parent, name, unix.S_IFCHR, 0)
	case File:
		return writeFile(parent, name, e)
	case Symlink:
		if err := unix.Symlinkat(string(e.Data), parent, name); err != nil {
			return err
		}
		return unix.Fchownat(parent, name, e.UID, e.GID, unix.AT_SYMLINK_NOFOLLOW)
	}
	return unix.EINVAL
}

// descend returns a descriptor of the directory names. It stays owned by w.
func (w *layerWriter) descend(names []string) (int, error) {
	same := 0
	for same < len(names) && same < len(w.open) && w.open[same].name == names[same] {
		same++
	}
	w.ascend(same)
	for _, name := range names[same:] {
		fd, err := unix.Openat(w.last(), name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, err
		}
		w.open = append(w.open, openDir{name, fd})
	}
	return w.last(), nil
}

// ascend closes the open directories beyond the first n.
func (w *layerWriter) ascend(n int) {
	for _, d := range w.open[n:] {
		unix.Close(d.fd)
	}
	w.open = w.open[:n]
}

func (w *layerWriter) last() int {
	if len(w.open) == 0 {
		return w.root
	}
	return w.open[len(w.open)-1].fd
}

// setDir gives a directory its mark, owner and mode.
func (w *layerWriter) setDir(fd int, e *Entry) error {
	if e.Kind == Opaque {
		if err := unix.Fsetxattr(fd, string(w.mark), []byte("y"), 0); err != nil {
			return fmt.Errorf("set %s: %w", w.mark, err)
		}
	}
	return setOwner(fd, e)
}

// setOwner sets owner and mode, in this order: chown(2) takes set-id bits away.
func setOwner(fd int, e *Entry) error {
	if err := unix.Fchown(fd, e.UID, e.GID); err != nil {
		return err
	}
	return unix.Fchmod(fd, e.Mode)
}

func writeFile(parent int, name string, e *Entry) error {
	fd, err := unix.Openat(parent, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for data := e.Data; len(data) > 0; {
		n, err := unix.Write(fd, data)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return setOwner(fd, e)
}

// Shift returns the entries with user and group ids higher by base: what an idmapped mount
// does, for file systems that cannot be mounted so, as tmpfs before Linux 6.3.
func Shift(entries []Entry, base uint32) []Entry {
	shifted := slices.Clone(entries)
	for i := range shifted {
		if shifted[i].Kind != Whiteout {
			shifted[i].UID += int(base)
			shifted[i].GID += int(base)
		}
	}
	return shifted
}
