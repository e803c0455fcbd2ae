package overlayfs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/dirents"
)

// Bounds of a skeleton. What is beyond them is closed all the same, by the layer below;
// it only shows as "permission denied" instead of being absent.
const (
	maxEntries    = 16384 // of a skeleton
	maxDirEntries = 4096  // looked at in one directory
)

// area says what becomes of a directory of the host.
type area struct {
	path string
	do   treatment

	// How many levels below the directory are looked at: for directories that are
	// closed and for files that are closed.
	dirs, files int

	mode  uint32 // for fresh ones: the mode, owned by root; 0 is the host's, if there is one
	force bool   // the directory is made even where the host has something else, or nothing
}

type treatment uint8

const (
	leave treatment = iota // it is what the node mounts its own over, or harmless and big
	scan                   // closed files and directories in it are hidden
	empty                  // it is opaque and empty
	tree                   // it is opaque and has the host's directories, but no files
	hide                   // it is absent, even if the host makes it later
)

// areas are the directories that are not simply one level of scanning. Those below a
// scanned one are met by the walk if its depth reaches them.
var areas = [...]area{
	{path: ".", do: scan, dirs: 1, files: 1},

	// The node mounts its own.
	{path: "dev"}, {path: "proc"}, {path: "sys"},

	{path: "tmp", do: empty, mode: 0o1777, force: true},
	{path: "home", do: empty, mode: 0o755, force: true},
	{path: "root", do: empty, mode: 0o700, force: true},
	{path: "var/tmp", do: empty, mode: 0o1777, force: true},
	{path: "var/mail", do: empty},
	{path: "var/backups", do: empty},

	{path: "run", do: tree, dirs: 3, force: true, mode: 0o755},
	{path: "var/log", do: tree, dirs: 4},
	{path: "var/spool", do: tree, dirs: 3},

	// They name other labs, other containers and users of the host. A program that finds
	// /run/systemd/system takes it that systemd runs: sd_booted(3).
	{path: "run/netns"}, {path: "run/nsnet"}, {path: "run/user"}, {path: "run/systemd"}, {path: "run/udev"},
	{path: "run/docker"}, {path: "run/containerd"}, {path: "run/containers"}, {path: "run/credentials"},

	{path: "boot", do: scan, dirs: 1, files: 1},
	{path: "etc", do: scan, dirs: 4, files: 4},
	{path: "opt", do: scan, dirs: 2, files: 2},
	{path: "srv", do: scan, dirs: 2, files: 2},
	{path: "var", do: scan, dirs: 1, files: 1},
	{path: "var/cache", do: scan, dirs: 2, files: 2},
	{path: "var/lib", do: scan, dirs: 3, files: 2},
	{path: "var/lib/apt"}, {path: "var/lib/dpkg"},
	{path: "var/lib/nsnet", do: hide},
}

// HostSkeleton walks the directory root, which is "/" but in tests, and returns the
// entries of its skeleton in the order that Apply wants. It follows no symbolic link
// below root, crosses no mount point but into /run, /var/log and /var/spool, and reads
// no files but /etc/passwd and /etc/group: for every user and group in them it makes an
// entry with a locked password in /etc/shadow and /etc/gshadow. The same tree gives the
// same entries. What vanishes during the walk is left out.
func HostSkeleton(root string) ([]Entry, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", root, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", root, err)
	}
	w := &walker{areas: make(map[string]*area, len(areas)), parents: map[string]bool{}, buf: make([]byte, dirents.BufferSize), dev: st.Dev}
	for i := range areas {
		path := areas[i].path
		w.areas[path] = &areas[i]
		w.parents[path[:strings.LastIndexByte(path, '/')+1]] = true
	}
	top := w.areas["."]
	w.add(".", Dir, &st)
	if err := w.scan(fd, "", top.dirs, top.files); err != nil {
		return nil, fmt.Errorf("walk %s: %w", root, err)
	}
	if err := w.synthesize(fd); err != nil {
		return nil, fmt.Errorf("walk %s: %w", root, err)
	}
	slices.SortFunc(w.entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	// "." comes before every name but those that begin with one of ! to -.
	i := slices.IndexFunc(w.entries, func(e Entry) bool { return e.Path == "." })
	dot := w.entries[i]
	copy(w.entries[1:i+1], w.entries[:i])
	w.entries[0] = dot
	return w.entries, nil
}

// walker collects the entries of a skeleton.
type walker struct {
	areas   map[string]*area
	parents map[string]bool // of areas, as scan has them
	entries []Entry
	buf     []byte // for getdents64
	dev     uint64 // of root
	st      unix.Stat_t
}

// scan adds the entries of what is closed in a directory, whose path is "" for the root
// and ends in "/" otherwise. It looks dirs levels deep for directories, and files levels
// for files.
func (w *walker) scan(fd int, path string, dirs, files int) error {
	list, err := w.readDir(fd, files < 1)
	if err != nil {
		return fmt.Errorf("read directory %q: %w", path, err)
	}
	special := w.parents[path]
	if special {
		if err := w.addForced(fd, path); err != nil {
			return err
		}
	}
	for _, name := range list {
		var a *area
		if special {
			a = w.areas[path+name]
		}
		if a != nil && (a.force && a.do == empty || a.do == hide || a.do == leave) {
			continue
		}
		st := &w.st
		ok, err := statInto(fd, name, st)
		if err != nil {
			return fmt.Errorf("stat %q: %w", path+name, err)
		}
		if !ok {
			continue
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if st.Mode&unix.S_IFMT != unix.S_IFLNK && files >= 1 && st.Mode&0o004 == 0 {
				w.add(path+name, Whiteout, st)
			}
			continue
		}
		if err := w.scanDir(fd, name, path+name, st, a, dirs-1, files-1); err != nil {
			return err
		}
	}
	return nil
}

// scanDir adds the entries of a directory that scan met.
func (w *walker) scanDir(parent int, base, path string, st *unix.Stat_t, a *area, dirs, files int) error {
	if st.Mode&0o005 != 0o005 {
		w.add(path, Opaque, st)
		return nil
	}
	if a != nil {
		dirs, files = a.dirs, a.files
		switch a.do {
		case empty:
			w.add(path, Opaque, st)
			return nil
		case tree:
			w.add(path, Opaque, st)
			return w.tree(parent, base, path, st.Dev, dirs)
		}
	}
	// A separate /var is entered for the fresh directories in it.
	if dirs < 1 || st.Dev != w.dev && path != "var" {
		return nil
	}
	fd, ok, err := openChild(parent, base)
	if err != nil {
		return fmt.Errorf("open %q: %w", path, err)
	}
	if !ok {
		return nil
	}
	defer unix.Close(fd)
	// The directory is an entry only if something in it is: a parent comes before its
	// children, so it is put in now and taken out again.
	before := len(w.entries)
	w.add(path, Dir, st)
	if err := w.scan(fd, path+"/", dirs, files); err != nil {
		return err
	}
	if len(w.entries) == before+1 {
		w.entries = w.entries[:before]
	}
	return nil
}

// addForced adds the entries of a directory's areas that are there whatever the host has.
func (w *walker) addForced(fd int, path string) error {
	for i := range areas {
		a := &areas[i]
		base, ok := strings.CutPrefix(a.path, path)
		if !ok || base == "." || strings.Contains(base, "/") {
			continue
		}
		switch {
		case a.do == hide:
			w.add(a.path, Whiteout, &unix.Stat_t{})
		case !a.force:
		case a.do == empty:
			w.add(a.path, Opaque, &unix.Stat_t{Mode: a.mode})
		case a.do == tree:
			st, ok, err := stat(fd, base)
			if err != nil {
				return fmt.Errorf("stat %q: %w", a.path, err)
			}
			if !ok || st.Mode&unix.S_IFMT != unix.S_IFDIR {
				w.add(a.path, Opaque, &unix.Stat_t{Mode: a.mode})
			}
		}
	}
	return nil
}

// tree adds the directories below a directory, levels deep. They stay on one file system.
func (w *walker) tree(parent int, base, path string, dev uint64, levels int) error {
	if levels < 1 {
		return nil
	}
	fd, ok, err := openChild(parent, base)
	if err != nil {
		return fmt.Errorf("open %q: %w", path, err)
	}
	if !ok {
		return nil
	}
	defer unix.Close(fd)
	list, err := w.readDir(fd, true)
	if err != nil {
		return fmt.Errorf("read directory %q: %w", path, err)
	}
	for _, name := range list {
		at := path + "/" + name
		if w.areas[at] != nil {
			continue
		}
		st := &w.st
		ok, err := statInto(fd, name, st)
		if err != nil {
			return fmt.Errorf("stat %q: %w", at, err)
		}
		if !ok || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		w.add(at, Dir, st)
		if st.Mode&0o005 != 0o005 || st.Dev != dev {
			continue
		}
		if err := w.tree(fd, name, at, dev, levels-1); err != nil {
			return err
		}
	}
	return nil
}

// add appends an entry with the owner and mode of st, unless there are too many.
func (w *walker) add(path string, kind Kind, st *unix.Stat_t) {
	if len(w.entries) >= maxEntries {
		return
	}
	if kind == Whiteout {
		w.entries = append(w.entries, Entry{Path: path, Kind: Whiteout})
		return
	}
	w.entries = append(w.entries, dirEntry(path, kind, st))
}

// dirEntry returns an entry of a directory with the owner and mode of st.
func dirEntry(path string, kind Kind, st *unix.Stat_t) Entry {
	return Entry{Path: path, Kind: kind, Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid)}
}

// readDir returns what is in a directory, as many as are looked at, but for symbolic links and, where only directories
// are wanted, for all that is known not to be one.
func (w *walker) readDir(fd int, onlyDirs bool) ([]string, error) {
	var list []string
	seen := 0
	err := dirents.Each(fd, w.buf, func(name []byte, typ uint8) bool {
		if typ == unix.DT_DIR || typ == unix.DT_UNKNOWN || typ != unix.DT_LNK && !onlyDirs {
			list = append(list, string(name))
		}
		seen++
		return seen < maxDirEntries
	})
	return list, err
}

// stat is fstatat(2) of a name in a directory; ok is false when it is gone.
func stat(fd int, name string) (st *unix.Stat_t, ok bool, err error) {
	st = new(unix.Stat_t)
	ok, err = statInto(fd, name, st)
	return st, ok, err
}

// statInto is stat for many names.
func statInto(fd int, name string, st *unix.Stat_t) (ok bool, err error) {
	err = unix.Fstatat(fd, name, st, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// openChild opens a directory in a directory; ok is false when it is gone or no
// directory any more, and when this process may not read it.
func openChild(fd int, name string) (child int, ok bool, err error) {
	child, err = unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return child, true, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.EACCES):
		return -1, false, nil
	}
	return -1, false, err
}
