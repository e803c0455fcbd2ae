package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/lockfile"
	"github.com/nsnet/nsnet/overlayfs"
	"github.com/nsnet/nsnet/topology"
)

// A union whose first layer alone is rw is an overlay with that directory as its upper layer. Overlayfs needs an
// empty directory for its work on the same mount, which is made beside:
//
//	fruits/               the layer
//	.fruits.nsnet/        mode 0700; its lock is held by the lab's init for as long as the node lives
//	.fruits.nsnet/holder  LAB/NODE: PATH
//	.fruits.nsnet/work/   overlayfs's own
//
// It can outlive the lab, and is in the record before it is made. Who takes it away, or over, has its lock. The
// directory above may be writable in a node: nothing in it is followed.

// workDir is a directory beside a layer that is written, as the record has it.
type workDir struct {
	Parent string `json:"parent"` // without symbolic links
	Dev    uint64 `json:"dev"`    // of the parent
	Ino    uint64 `json:"ino"`
	Layer  string `json:"layer"` // the layer's name in the parent
}

// name is the directory's own.
func (w workDir) name() string {
	const most = 200 // bytes; 255 is the most for a name
	if len(w.Layer) > most {
		return "." + unionTree(w.Layer) + ".nsnet"
	}
	return "." + w.Layer + ".nsnet"
}

func (w workDir) path() string { return filepath.Join(w.Parent, w.name()) }

const (
	holderFile = "holder"
	workTree   = "work"
)

// upperLayer is a layer that a union writes.
type upperLayer struct {
	workDir
	id fileID // of the layer
}

// findUpper looks at the directory that a union is to write, and says why it cannot be one's upper layer.
func (f *hostFiles) findUpper(dir string) (u upperLayer, err error) {
	at, err := f.openDir(dir)
	if err != nil {
		return u, err
	}
	defer at.Close()
	fd, path := int(at.Fd()), at.Name()
	u.Parent, u.Layer = filepath.Dir(path), filepath.Base(path)
	var own, above unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_MNT_ID, &own); err != nil {
		return u, fmt.Errorf("look at %s: %w", dir, err)
	}
	if err := unix.Statx(unix.AT_FDCWD, u.Parent, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO|unix.STATX_MNT_ID, &above); err != nil {
		return u, fmt.Errorf("look at %s: %w", u.Parent, err)
	}
	u.id = fileID{unix.Mkdev(own.Dev_major, own.Dev_minor), own.Ino, true}
	u.Dev, u.Ino = unix.Mkdev(above.Dev_major, above.Dev_minor), above.Ino
	if own.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 || own.Mnt_id != above.Mnt_id {
		return u, fmt.Errorf("something is mounted on %s, and the work directory of an overlay has to be beside the layer on the same mount: take a directory below it, or storage: fuse", path)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return u, fmt.Errorf("look at %s: %w", dir, err)
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return u, fmt.Errorf("write %s: %w", path, unix.EROFS)
	}
	if st.Type == unix.OVERLAYFS_SUPER_MAGIC || st.Type == unix.FUSE_SUPER_MAGIC || onNetwork(st.Type) {
		return u, fmt.Errorf("%w: %s is on a file system that cannot be the upper layer of an overlay: take another disk, or storage: fuse", ErrUnsupported, path)
	}
	return u, nil
}

// openParent opens the directory that a layer is in, if it is still the one that it was.
func (w workDir) openParent() (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, w.Parent, &how)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", w.Parent, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Dev != w.Dev || st.Ino != w.Ino {
		_ = unix.Close(fd)
		return -1, errors.Join(err, fmt.Errorf("open %s: %w: it is another directory now", w.Parent, fs.ErrNotExist))
	}
	return fd, nil
}

// open opens the work directory in its open parent. Whatever is not nsnet's is errNotOurs.
func (w workDir) open(parent int) (*os.File, error) {
	fd, err := unix.Openat(parent, w.name(), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		err = errNotOurs
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", w.path(), err)
	}
	f := os.NewFile(uintptr(fd), w.path())
	var st unix.Stat_t
	names, err := overlayfs.ReadNames(fd)
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err == nil && (st.Uid != 0 || st.Mode&0o7777 != 0o700 || st.Dev != w.Dev || slices.ContainsFunc(names, func(n string) bool { return n != holderFile && n != workTree })) {
		err = errNotOurs
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("open %s: %w", w.path(), err)
	}
	return f, nil
}

var errNotOurs = errors.New("it is in the way, and not nsnet's: remove it")

// holderOf is who says in an open work directory to hold it: one line that may go to a terminal, whoever has written it.
func holderOf(f *os.File) string {
	fd, err := unix.Openat(int(f.Fd()), holderFile, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	b := make([]byte, 1024)
	n, err := unix.Read(fd, b)
	if err != nil || n < 0 {
		return ""
	}
	line, _, _ := strings.Cut(string(b[:n]), "\n")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, line)
}

// heldBy tells who has a work directory now; empty: nobody.
func (w workDir) heldBy() (string, error) {
	parent, err := w.openParent()
	if err != nil {
		return "", err
	}
	defer unix.Close(parent)
	f, err := w.open(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	if !lockfile.Held(f) {
		return "", nil
	}
	if who := holderOf(f); who != "" {
		return who, nil
	}
	return "another lab", nil
}

// heldError is that of a layer which another union writes.
func (u upperLayer) heldError(who string) error {
	return heldError(filepath.Join(u.Parent, u.Layer), who)
}

func heldError(path, who string) error {
	return &Error{Object: path, Err: fmt.Errorf("%w: it is written by %s, and one union at a time can do that", ErrConflict, who), Remedy: "take that one down, or give this one another directory"}
}

// take makes the work directory in its open parent, or takes over what a dead lab has left, and locks it.
func (u upperLayer) take(parent int, who string) (*os.File, error) {
	for {
		if err := failpoint.Hit("mkdir work", u.path()); err != nil {
			return nil, fmt.Errorf("create %s: %w", u.path(), err)
		}
		if err := unix.Mkdirat(parent, u.name(), 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("create %s: %w", u.path(), err)
		}
		f, err := u.open(parent)
		if errors.Is(err, fs.ErrNotExist) {
			continue // somebody has just removed it
		}
		if err != nil {
			return nil, err
		}
		if err := lockfile.Try(f, lockfile.Exclusive); err != nil {
			who := holderOf(f)
			_ = f.Close()
			if errors.Is(err, lockfile.ErrHeld) {
				return nil, u.heldError(who)
			}
			return nil, fmt.Errorf("lock %s: %w", u.path(), err)
		}
		if !isAt(f, parent, u.name()) {
			_ = f.Close()
			continue
		}
		if err := u.fill(f, who); err != nil {
			_ = f.Close()
			return nil, err
		}
		return f, nil
	}
}

// isAt reports whether an open directory has this name in another.
func isAt(f *os.File, parent int, name string) bool {
	var a, b unix.Stat_t
	return unix.Fstat(int(f.Fd()), &a) == nil && unix.Fstatat(parent, name, &b, unix.AT_SYMLINK_NOFOLLOW) == nil && a.Dev == b.Dev && a.Ino == b.Ino
}

// fill empties a locked work directory, and writes down who has it.
func (u upperLayer) fill(f *os.File, who string) error {
	if err := empty(f); err != nil {
		return fmt.Errorf("empty %s: %w", u.path(), err)
	}
	if err := failpoint.Hit("write work", u.path()); err != nil {
		return fmt.Errorf("write %s: %w", u.path(), err)
	}
	fd, err := unix.Openat(int(f.Fd()), holderFile, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err == nil {
		_, err = unix.Write(fd, []byte(who+"\n"))
		err = errors.Join(err, unix.Close(fd))
	}
	if err == nil {
		err = unix.Mkdirat(int(f.Fd()), workTree, 0o700)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", u.path(), err)
	}
	return nil
}

// empty removes what is in an open directory, and follows nothing.
func empty(f *os.File) error {
	root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range []string{workTree, holderFile} {
		if err := root.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}

// remove removes a work directory, unless somebody holds it.
func (w workDir) remove() (held bool, err error) {
	parent, err := w.openParent()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return false, nil // gone, with what was in it
	}
	if err != nil {
		return false, err
	}
	defer unix.Close(parent)
	f, err := w.open(parent)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotOurs) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err := lockfile.Try(f, lockfile.Exclusive); errors.Is(err, lockfile.ErrHeld) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("lock %s: %w", w.path(), err)
	}
	if !isAt(f, parent, w.name()) {
		return false, nil
	}
	if err := failpoint.Hit("remove work", w.path()); err != nil {
		return false, fmt.Errorf("remove %s: %w", w.path(), err)
	}
	if err := empty(f); err != nil {
		return false, fmt.Errorf("remove %s: %w", w.path(), err)
	}
	if err := unix.Unlinkat(parent, w.name(), unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return false, fmt.Errorf("remove %s: %w", w.path(), err)
	}
	return false, nil
}

// removeWork removes the work directories of a record that nobody holds, and returns the others.
func removeWork(all []workDir) (held []workDir, err error) {
	var errs []error
	for _, w := range all {
		is, err := w.remove()
		if is || err != nil {
			held = append(held, w)
		}
		errs = append(errs, err)
	}
	return held, errors.Join(errs...)
}

// writesUpper reports whether a union is an overlay with its first layer as the upper one.
func writesUpper(u *topology.Union) bool {
	return u.WritesFirst() && u.Storage == topology.StorageOverlay
}

// unionName is a union as its work directory names it.
func unionName(lab, node, path string) string { return lab + "/" + node + ": " + path }

// openUpper makes the directory that a union writes ready as an upper layer. It runs on the mounter's thread.
func (m *mounter) openUpper(up upperLayer, who string) (u *overlayfs.Upper, locks []*os.File, err error) {
	parent, err := up.openParent()
	if err != nil {
		return nil, nil, err
	}
	lock, err := up.take(parent, who)
	if err != nil {
		_ = unix.Close(parent)
		return nil, nil, err
	}
	alone, err := lockDir(parent, up.Layer, filepath.Join(up.Parent, up.Layer), lockfile.Exclusive)
	if err != nil {
		_ = unix.Close(parent)
		_ = lock.Close()
		return nil, nil, err
	}
	return &overlayfs.Upper{Parent: parent, Layer: up.Layer, Dev: up.id.dev, Ino: up.id.ino, Work: filepath.Join(up.name(), workTree)}, []*os.File{lock, alone}, nil
}

// sweepWork removes what unions of a lab that has ended have left beside the directories that they wrote.
func sweepWork(r *record) error {
	if r == nil {
		return nil
	}
	_, err := removeWork(r.Work)
	return err
}
