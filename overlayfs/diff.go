package overlayfs

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Kinds of changes.
const (
	Added   = 'A'
	Changed = 'C'
	Deleted = 'D'
)

// Change is a path that the upper layer of a union makes different from the layers below it.
type Change struct {
	Kind rune
	Path string // from the union's root, without a slash in front; of any bytes but zero
}

// DiffOptions say how an upper layer is to be looked at.
type DiffOptions struct {
	Base uint32 // what the ids in the upper layer are higher by than those in the lower ones
	// Copied: the upper layer has everything, changed or not, as the driver copy makes it.
	Copied bool
	// Own are files that whoever mounted the union has put into the upper layer: they are a change where their
	// content is another.
	Own map[string][]byte
	// Mounts are paths that something was mounted on: an empty directory or file of that name, and what is there only to hold it, is no
	// change.
	Mounts []string
}

// MaxPath bounds the paths that Diff and WriteLayer look at, in bytes: what is deeper has no name that open(2) takes.
const MaxPath = unix.PathMax - 1

// ErrTooDeep tells that a layer has a path longer than MaxPath.
var ErrTooDeep = fmt.Errorf("a path is longer than %d bytes", MaxPath)

// Diff lists what an upper layer, open at upper, changes of the layers below, a directory before what it holds. The layer may be
// changed meanwhile by somebody hostile: every step is one name relative to a descriptor, through no symbolic link.
func Diff(upper int, lower *Merged, o DiffOptions) ([]Change, error) {
	d := differ{o: o}
	err := d.dir(upper, lower, "", o.Copied)
	return d.changes, err
}

type differ struct {
	o       DiffOptions
	changes []Change
}

func (d *differ) add(kind rune, path string) { d.changes = append(d.changes, Change{kind, path}) }

// dir compares a directory. whole tells that the upper one hides the lower: what it has not is deleted.
func (d *differ) dir(upper int, lower *Merged, prefix string, whole bool) error {
	names, err := ReadNames(upper)
	if err != nil {
		return fmt.Errorf("read %q: %w", prefix, err)
	}
	if whole {
		below, err := lower.Names()
		if err != nil {
			return fmt.Errorf("read %q: %w", prefix, err)
		}
		names = append(names, below...)
		slices.Sort(names)
		names = slices.Compact(names)
	}
	for _, name := range names {
		path := prefix + name
		if len(path) > MaxPath {
			return fmt.Errorf("%w, in %q", ErrTooDeep, path[:40])
		}
		if err := d.entry(upper, lower, path, name, whole); err != nil {
			return err
		}
	}
	return nil
}

func (d *differ) entry(upper int, lower *Merged, path, name string, whole bool) error {
	below, isBelow, err := lower.Lookup(name)
	if err != nil {
		return fmt.Errorf("look at %q: %w", path, err)
	}
	st, ok, err := stat(upper, name)
	if err != nil {
		return fmt.Errorf("look at %q: %w", path, err)
	}
	if !ok || IsWhiteout(st) {
		if isBelow && (ok || whole) {
			d.add(Deleted, path)
		}
		return nil
	}
	if isDir(st) {
		return d.subdir(upper, lower, path, name, st, below, isBelow, whole)
	}
	switch {
	case !isBelow && d.isMount(path) && st.Size == 0:
	case d.isOwn(upper, path, name, st):
	case !isBelow:
		d.add(Added, path)
	case !d.o.Copied || !d.same(upper, name, st, &below):
		d.add(Changed, path)
	}
	return nil
}

func (d *differ) subdir(upper int, lower *Merged, path, name string, st *unix.Stat_t, below Found, isBelow, whole bool) error {
	fd, ok, err := openChild(upper, name)
	if err != nil {
		return fmt.Errorf("open %q: %w", path, err)
	}
	if !ok {
		return nil
	}
	defer unix.Close(fd)
	sub := &Merged{}
	if isBelow && isDir(&below.Stat) {
		if sub, err = lower.Sub(name); err != nil {
			return fmt.Errorf("open %q: %w", path, err)
		}
		defer sub.Close()
	}
	at := len(d.changes)
	opaque := IsOpaque(fd) && !d.o.Copied
	d.add(Added, path)
	if isBelow {
		d.changes[at].Kind = Changed
	}
	if err := d.dir(fd, sub, path+"/", whole || opaque); err != nil {
		return err
	}
	if len(d.changes) > at+1 {
		return nil
	}
	// Nothing in it has changed: has the directory itself?
	switch {
	case isBelow && isDir(&below.Stat) && !opaque && d.sameMode(st, &below.Stat),
		!isBelow && d.holdsMount(path):
		d.changes = d.changes[:at]
	}
	return nil
}

// same tells that a copied file is as it was.
func (d *differ) same(dir int, name string, upper *unix.Stat_t, below *Found) bool {
	lower := &below.Stat
	if !d.sameMode(upper, lower) || upper.Size != lower.Size || upper.Rdev != lower.Rdev {
		return false
	}
	if upper.Mode&unix.S_IFMT == unix.S_IFREG {
		return upper.Mtim == lower.Mtim
	}
	if upper.Mode&unix.S_IFMT != unix.S_IFLNK {
		return true
	}
	a, err1 := readLink(dir, name)
	b, err2 := readLink(below.Dir, name)
	return err1 == nil && err2 == nil && a == b
}

func (d *differ) sameMode(upper, lower *unix.Stat_t) bool {
	return upper.Mode == lower.Mode && upper.Uid-d.o.Base == lower.Uid && upper.Gid-d.o.Base == lower.Gid
}

func (d *differ) isMount(path string) bool { return slices.Contains(d.o.Mounts, path) }

func (d *differ) holdsMount(path string) bool {
	return slices.ContainsFunc(d.o.Mounts, func(m string) bool { return m == path || strings.HasPrefix(m, path+"/") }) ||
		slices.ContainsFunc(ownNames(d.o.Own), func(f string) bool { return strings.HasPrefix(f, path+"/") })
}

func ownNames(own map[string][]byte) []string {
	names := make([]string, 0, len(own))
	for n := range own {
		names = append(names, n)
	}
	return names
}

// isOwn tells whether a file is one of Own, with its content, mode and owner.
func (d *differ) isOwn(dir int, path, name string, st *unix.Stat_t) bool {
	want, is := d.o.Own[path]
	if !is || st.Mode != unix.S_IFREG|0o644 || st.Uid != d.o.Base || st.Gid != d.o.Base || st.Size != int64(len(want)) {
		return false
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	got := make([]byte, len(want)+1)
	n, err := unix.Read(fd, got)
	return err == nil && bytes.Equal(got[:n], want)
}

// WriteLayer writes what changes tell of an upper layer into an empty directory, as a layer of its own: ids as the union has
// them, whiteouts for what is deleted, opaque directories with both marks. File capabilities, ACLs and sockets are left out. What
// vanishes meanwhile is left out, too; of a file that grows, what it had when it was opened is written. A name that stands
// for one kind of file and then for another is looked at again, and after some times the error is ErrChanging.
func WriteLayer(upper, to int, changes []Change, o DiffOptions) error {
	w := layerCopy{base: o.Base, copied: o.Copied, changed: make(map[string]rune, len(changes)), links: map[inode]string{}, deleted: map[string][]string{}, root: to}
	for _, c := range changes {
		w.changed[c.Path] = c.Kind
		if c.Kind == Deleted {
			dir, name := filepath.Split(c.Path)
			w.deleted[dir] = append(w.deleted[dir], name)
		}
		// A directory is on the way even if it has not changed.
		for dir := filepath.Dir(c.Path); dir != "."; dir = filepath.Dir(dir) {
			if _, ok := w.changed[dir]; ok {
				break
			}
			w.changed[dir] = Changed
		}
	}
	return w.dir(upper, to, "", false)
}

type layerCopy struct {
	base    uint32
	copied  bool
	changed map[string]rune
	deleted map[string][]string // names by their directory, with a slash behind it
	links   map[inode]string
	root    int
}

func (w *layerCopy) dir(from, to int, prefix string, opaque bool) error {
	names, err := ReadNames(from)
	if err != nil {
		return fmt.Errorf("read %q: %w", prefix, err)
	}
	for _, name := range names {
		path := prefix + name
		if len(path) > MaxPath {
			return fmt.Errorf("%w, in %q", ErrTooDeep, path[:40])
		}
		kind, ok := w.changed[path]
		if !ok || kind == Deleted {
			continue
		}
		if err := w.entry(from, to, path, name); err != nil {
			return fmt.Errorf("write %q: %w", path, err)
		}
	}
	if opaque {
		return nil // what is below is hidden anyway, and an opaque directory must hold no whiteouts
	}
	for _, name := range w.deleted[prefix] {
		if err := unix.Mknodat(to, name, unix.S_IFCHR, 0); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("write whiteout %q: %w", prefix+name, err)
		}
	}
	return nil
}

// entry writes a name of the upper layer, and looks at it again where it was another kind of file, or gone, when it was opened.
func (w *layerCopy) entry(from, to int, path, name string) error {
	for range looks {
		st, ok, err := stat(from, name)
		if err != nil || !ok {
			return err
		}
		if isDir(st) {
			fd, ok, err := openChild(from, name)
			if err != nil {
				return err
			}
			if ok {
				return w.subdir(fd, to, path, name)
			}
			continue
		}
		if err := w.file(from, to, path, name, st); !errors.Is(err, ErrChanging) && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return ErrChanging
}

// subdir writes a directory, open at fd, and closes it.
func (w *layerCopy) subdir(fd, to int, path, name string) error {
	defer unix.Close(fd)
	if err := unix.Mkdirat(to, name, 0o700); err != nil {
		return err
	}
	out, err := unix.Openat(to, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	opaque := IsOpaque(fd) && !w.copied
	if opaque {
		for _, mark := range []Mark{UserMark, TrustedMark} {
			if err := unix.Fsetxattr(out, string(mark), []byte("y"), 0); err != nil {
				return fmt.Errorf("set %s: %w", mark, err)
			}
		}
	}
	if err := w.dir(fd, out, path+"/", opaque); err != nil {
		return err
	}
	return copyAttributesAs(fd, out, w.owner)
}

// file writes what is no directory.
func (w *layerCopy) file(from, to int, path, name string, st *unix.Stat_t) error {
	if st.Nlink > 1 {
		key := inode{st.Dev, st.Ino}
		if first, ok := w.links[key]; ok {
			if err := unix.Linkat(w.root, first, to, name, 0); !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
		w.links[key] = path
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return copyFileAs(from, to, name, w.owner)
	case unix.S_IFSOCK:
		return nil
	}
	w.owner(st)
	return copySpecial(Found{*st, from}, to, name)
}

// owner makes an owner in the upper layer one in the union.
func (w *layerCopy) owner(st *unix.Stat_t) { st.Uid, st.Gid = st.Uid-w.base, st.Gid-w.base }
