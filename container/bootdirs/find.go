package bootdirs

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/passwd"
	"github.com/nsnet/nsnet/internal/dirents"
	"github.com/nsnet/nsnet/internal/inroot"
)

// Bounds of what is read of a root filesystem, and of what comes out of it.
const (
	maxFile    = 64 << 10 // bytes of a file
	maxAccount = 1 << 20  // bytes of passwd(5) or group(5)
	maxBytes   = 8 << 20  // of all files
	maxFiles   = 4096
	maxNames   = 8192 // of a directory
	maxDirs    = 1024
)

// maxID is the highest id that a node has.
const maxID = 65535

// Dir is a directory.
type Dir struct {
	Path     string // from the root, without a slash in front
	Mode     uint32 // permission, set-id and sticky bits
	UID, GID int    // as in the root's own passwd(5) and group(5)
}

// Root is a root filesystem: directories above one another.
type Root struct {
	layers []int // the topmost first
	files  int   // that were read
	bytes  int
	buf    []byte // for what is read
}

// Open opens a root filesystem that is made of these directories, the topmost first. In all but the
// lowest of them a device 0/0 hides what is below it, as for overlayfs. The caller closes it.
func Open(layers ...string) (*Root, error) {
	r := &Root{}
	for _, l := range layers {
		fd, err := unix.Open(l, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			r.Close()
			return nil, &os.PathError{Op: "open", Path: l, Err: err}
		}
		r.layers = append(r.layers, fd)
	}
	return r, nil
}

// Close lets go of the root's directories.
func (r *Root) Close() {
	for _, fd := range r.layers {
		_ = unix.Close(fd)
	}
	r.layers = nil
}

// State is what a root has at a path.
type State uint8

// The states.
const (
	Absent    State = iota
	Directory       // whose mode and owner are known
	Mount           // a node sees the directory below it, and nothing of what is mounted
	Other           // a file, or a symbolic link on the way
)

// Stat returns what the root has at a path, whose parents are directories.
func (r *Root) Stat(at string) (State, Dir) {
	const how = unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV
	for _, l := range r.layers {
		fd, err := inroot.Open(l, at, unix.O_PATH|unix.O_NOFOLLOW, how)
		switch {
		case errors.Is(err, unix.ENOENT):
			continue
		case errors.Is(err, unix.EXDEV):
			parent, err := inroot.Open(l, path.Dir(at), unix.O_PATH|unix.O_NOFOLLOW, how)
			if err != nil {
				continue // it is below a mount
			}
			_ = unix.Close(parent)
			return Mount, Dir{}
		case err != nil:
			return Other, Dir{}
		}
		var st unix.Stat_t
		err = unix.Fstat(fd, &st)
		_ = unix.Close(fd)
		switch {
		case err != nil:
			return Other, Dir{}
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			return Directory, Dir{Path: at, Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid)}
		case st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0:
			return Absent, Dir{}
		}
		return Other, Dir{}
	}
	return Absent, Dir{}
}

// Find returns the directories that the root's services expect, each once, in the order of their
// paths. Where declarations differ tmpfiles.d's counts, and of several of these the first, in the
// order of the files' names. Whose owner is not among the root's users is left out.
func (r *Root) Find() []Dir {
	var wants []want
	for _, f := range r.declarations(".conf", "etc/tmpfiles.d", "usr/lib/tmpfiles.d") {
		wants = append(wants, tmpfiles(f.text)...)
	}
	for _, f := range r.declarations(".service", "etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system") {
		wants = append(wants, unit(f.text, r.script)...)
	}
	if len(wants) == 0 {
		return nil
	}
	users, _ := r.read("etc/passwd", maxAccount)
	groups, _ := r.read("etc/group", maxAccount)
	accounts := accounts{[]byte(users), []byte(groups)}
	var dirs []Dir
	seen := map[string]bool{}
	for _, w := range wants {
		if seen[w.path] || len(dirs) == maxDirs {
			continue
		}
		if d, ok := accounts.dir(w); ok {
			seen[w.path] = true
			dirs = append(dirs, d)
		}
	}
	slices.SortFunc(dirs, func(a, b Dir) int { return cmp.Compare(a.Path, b.Path) })
	return dirs
}

// declaration is a file that declares something.
type declaration struct{ name, text string }

// declarations returns the files in these directories whose names end so, in the order of names. A
// file hides those of its name in directories further behind, also if it is a symbolic link: one to
// /dev/null takes a declaration away. What is in NAME.d is behind a file's own text.
func (r *Root) declarations(suffix string, dirs ...string) []declaration {
	all := map[string]string{}
	more := map[string][]declaration{}
	for _, dir := range dirs {
		for _, l := range r.layers {
			r.eachIn(l, dir, [][]byte{[]byte(suffix), []byte(suffix + ".d")}, func(fd int, name string, typ uint8) {
				switch {
				case strings.HasPrefix(name, "systemd-"): // half of all files, and no service of a node's
				case strings.HasSuffix(name, suffix):
					if _, hidden := all[name]; hidden {
						return
					}
					all[name] = ""
					if typ == unix.DT_REG {
						all[name], _ = r.readIn(fd, name)
					}
				case typ == unix.DT_DIR:
					r.eachIn(fd, name, [][]byte{[]byte(".conf")}, func(fd int, drop string, typ uint8) {
						if typ == unix.DT_REG {
							text, _ := r.readIn(fd, drop)
							of := strings.TrimSuffix(name, ".d")
							more[of] = append(more[of], declaration{drop, text})
						}
					})
				}
			})
		}
	}
	found := make([]declaration, 0, len(all))
	for name, text := range all {
		drops := more[name]
		slices.SortStableFunc(drops, func(a, b declaration) int { return cmp.Compare(a.name, b.name) })
		for _, d := range drops {
			text += "\n" + d.text
		}
		found = append(found, declaration{name, text})
	}
	slices.SortFunc(found, func(a, b declaration) int { return cmp.Compare(a.name, b.name) })
	return found
}

// eachIn calls f for what is in a directory and whose name ends in one of these ways, as much of it as is looked at, with the
// open directory.
func (r *Root) eachIn(root int, dir string, suffixes [][]byte, f func(fd int, name string, typ uint8)) {
	fd, err := inroot.Open(root, dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	type entry struct {
		name string
		typ  uint8
	}
	var found []entry
	seen := 0
	_ = dirents.Each(fd, r.buffer(), func(name []byte, typ uint8) bool {
		for _, s := range suffixes {
			if bytes.HasSuffix(name, s) {
				found = append(found, entry{string(name), typ})
			}
		}
		seen++
		return seen < maxNames
	})
	for _, e := range found {
		var st unix.Stat_t
		if e.typ == unix.DT_UNKNOWN && unix.Fstatat(fd, e.name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			e.typ = uint8(st.Mode & unix.S_IFMT >> 12) // as IFTODT of dirent.h
		}
		f(fd, e.name, e.typ)
	}
}

// buffer is for what is read, until the next is.
func (r *Root) buffer() []byte {
	if r.buf == nil {
		r.buf = make([]byte, maxFile)
	}
	return r.buf
}

// script returns the text of a file that a unit names. On the way to it /bin and its like may be
// links, as everywhere.
func (r *Root) script(file string) (string, bool) {
	if !path.IsAbs(file) {
		return "", false
	}
	at := path.Clean(file)[1:]
	for _, d := range []string{"bin/", "sbin/", "lib/"} {
		if strings.HasPrefix(at, d) {
			if text, ok := r.read("usr/"+at, maxFile); ok {
				return text, true
			}
		}
	}
	return r.read(at, maxFile)
}

// Never through a link, and a fifo is not waited for.
const readFlags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC

// read returns the text of the topmost file at a path.
func (r *Root) read(at string, most int) (string, bool) {
	for _, l := range r.layers {
		fd, err := inroot.Open(l, at, readFlags, unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV)
		if err == nil {
			return r.readAll(fd, most)
		}
	}
	return "", false
}

// readIn returns the text of a file in a directory.
func (r *Root) readIn(dir int, name string) (string, bool) {
	fd, err := unix.Openat(dir, name, readFlags, 0)
	if err != nil {
		return "", false
	}
	return r.readAll(fd, maxFile)
}

// readAll returns what is in a regular file of less than so many bytes, and closes it.
func (r *Root) readAll(fd int, most int) (string, bool) {
	defer unix.Close(fd)
	if r.files++; r.files > maxFiles || r.bytes > maxBytes {
		return "", false
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size >= int64(most) {
		return "", false
	}
	b := r.buffer()
	if st.Size > int64(len(b)) {
		b = make([]byte, st.Size)
	}
	b = b[:st.Size]
	n := 0
	for n < len(b) {
		got, err := unix.Read(fd, b[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return "", false
		}
		if got == 0 {
			break
		}
		n += got
	}
	r.bytes += n
	return string(b[:n]), true
}

// accounts are a root's users and groups.
type accounts struct{ passwd, group []byte }

// ofUser stands for the group of the user.
const ofUser = ":"

// dir looks a declared owner up.
func (a *accounts) dir(w want) (Dir, bool) {
	d := Dir{Path: w.path, Mode: w.mode}
	if w.user != "" {
		uid, gid, _, _, err := passwd.Lookup(w.user, a.passwd, nil)
		if err != nil {
			return d, false
		}
		d.UID = int(uid)
		if w.group == ofUser {
			d.GID = int(gid)
		}
	}
	if w.group != "" && w.group != ofUser {
		_, gid, _, _, err := passwd.Lookup("0:"+w.group, a.passwd, a.group)
		if err != nil {
			return d, false
		}
		d.GID = int(gid)
	}
	return d, d.UID <= maxID && d.GID <= maxID
}
