package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/lockfile"
	"github.com/nsnet/nsnet/topology"
)

// An overlay has the directory that it writes for itself: what another writes there it does not see, and its whiteouts
// are no files of the other's. Several unions of mergerfs may share one, as programs of one machine do. So each writer has
// a lock of flock(2) on the directory: an overlay alone, mergerfs with others. It is the directory's, by whatever path or
// mount it is reached, is held by the lab init for as long as the node lives, and leaves nothing behind.

// writer is a union that writes a directory.
type writer struct {
	who   string
	alone bool
}

// writersOf are the layers that a union writes, and whether as an overlay, which needs them for itself.
func writersOf(u *topology.Union) (dirs []string, alone bool) {
	for i := range u.Layers {
		if l := &u.Layers[i]; l.Writable {
			dirs = append(dirs, l.Image.Path)
		}
	}
	return dirs, topology.WritesAlone(u)
}

// findWritten finds the directories that unions of nodes to start write, and refuses those that an overlay of the lab, or of
// another one, has for itself, or would have. Nothing is changed.
func (b *builder) findWritten(start []topology.Node) error {
	b.uppers = map[string]upperLayer{}
	taken := map[fileID]writer{}
	fresh := byName(start)
	for i := range b.lab.Nodes {
		n := &b.lab.Nodes[i]
		for j := range n.Unions {
			u := &n.Unions[j]
			w := writer{who: unionName(b.lab.Name, n.Name, u.Path)}
			var dirs []string
			dirs, w.alone = writersOf(u)
			for _, dir := range dirs {
				if err := b.findLayer(dir, w, taken, fresh[n.Name] != nil); err != nil {
					return &Error{Node: n.Name, Op: "storage of the union", Object: u.Path, Err: err}
				}
			}
		}
	}
	return nil
}

// findLayer looks at one directory that a union writes. Of a union of a node that stays it is only noted.
func (b *builder) findLayer(dir string, w writer, taken map[fileID]writer, fresh bool) error {
	up, err := b.files.findUpper(dir)
	if err != nil && w.alone && fresh {
		return err
	}
	if err != nil {
		id, err := sourceOf(dir)
		if err != nil || id == nil {
			return nil //nolint:nilerr // who mounts it tells why
		}
		up.id = *id
	}
	other, is := taken[up.id]
	if is && other.who != w.who && (other.alone || w.alone) {
		return fmt.Errorf("%w: the directory %s is written by %s, and one union at a time can do that", ErrConflict, dir, other.who)
	}
	if !is || w.alone {
		taken[up.id] = w
	}
	if !fresh {
		return nil
	}
	if err == nil {
		holds, err := up.heldBy()
		if err != nil && w.alone {
			return err
		}
		if holds != "" && !strings.HasPrefix(holds, b.lab.Name+"/") {
			return up.heldError(holds)
		}
	}
	if f, err := b.files.lockLayer(dir, w.mode()); err == nil && f != nil {
		_ = f.Close()
	} else if err != nil && writerIn(b.lab.Name, up.id) == "" { // its own union goes before, or the mounter finds it
		return err
	}
	if w.alone {
		b.uppers[w.who] = up
		b.work = append(b.work, up.workDir)
	}
	return nil
}

func (w writer) mode() lockfile.Mode {
	if w.alone {
		return lockfile.Exclusive
	}
	return lockfile.Shared
}

// lockLayer locks a directory that a union writes; nil where the file system has no such locks, on which no overlay writes.
func (f *hostFiles) lockLayer(dir string, m lockfile.Mode) (*os.File, error) {
	at, err := f.openDir(dir)
	if err != nil {
		return nil, fmt.Errorf("the layer: %w", err)
	}
	defer at.Close()
	return lockDir(int(at.Fd()), ".", dir, m)
}

// lockDir locks the directory of this name in an open one; path is for messages.
func lockDir(parent int, name, path string, m lockfile.Mode) (*os.File, error) {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the layer %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	err = lockfile.Try(f, m)
	if err == nil {
		return f, nil
	}
	id, known := idOf(f)
	_ = f.Close()
	if !errors.Is(err, lockfile.ErrHeld) {
		return nil, nil //nolint:nilnil // that is the answer
	}
	who := ""
	if known {
		who = writerOf(id)
	}
	if who == "" {
		who = "another union, or a program has locked it"
	}
	return nil, heldError(path, who)
}

func idOf(f *os.File) (fileID, bool) {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return fileID{st.Dev, st.Ino, true}, err == nil
}

// lockWritten locks what a union of mergerfs writes.
func (r *nodeMounts) lockWritten(files *hostFiles, u *topology.Union) error {
	dirs, _ := writersOf(u)
	for _, dir := range dirs {
		f, err := files.lockLayer(dir, lockfile.Shared)
		if err != nil {
			return err
		}
		if f != nil {
			r.locks = append(r.locks, f)
		}
	}
	return nil
}

// writerOf finds a union that writes a directory in the records of labs; empty: it is none of theirs.
func writerOf(id fileID) string {
	entries, err := os.ReadDir(RunDir)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if !alive(dirOf(e.Name())) {
			continue
		}
		if who := writerIn(e.Name(), id); who != "" {
			return who
		}
	}
	return ""
}

// writerIn finds a union of a lab that writes a directory, by the lab's record.
func writerIn(lab string, id fileID) string {
	had, _, err := readHad(filepath.Join(RunDir, lab))
	if err != nil {
		return ""
	}
	for _, l := range had {
		for i := range l.Nodes {
			n := &l.Nodes[i]
			for j := range n.Unions {
				dirs, _ := writersOf(&n.Unions[j])
				for _, dir := range dirs {
					var st unix.Stat_t
					if unix.Stat(dir, &st) == nil && id == (fileID{st.Dev, st.Ino, true}) {
						return unionName(l.Name, n.Name, n.Unions[j].Path)
					}
				}
			}
		}
	}
	return ""
}
