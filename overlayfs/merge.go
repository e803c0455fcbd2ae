package overlayfs

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/dirents"
)

// Merged is one directory of a union, as its layers have it: open directories, the first wins. It is how package
// overlayfs looks at a union that the kernel has not mounted, by the rules of overlayfs: a whiteout hides a name in the
// layers below, an opaque directory all of their directory, and whatever is no directory ends the search. Every look-up is
// one name relative to a descriptor and follows no symbolic link, so what is in a layer cannot lead out of it.
type Merged struct{ dirs []int }

// Found is a name of a merged directory.
type Found struct {
	Stat unix.Stat_t
	Dir  int // descriptor of the directory that the name was found in; it stays Merged's
}

// OpenMerged opens directories as a union's root.
func OpenMerged(paths ...string) (*Merged, error) {
	m := &Merged{}
	for _, p := range paths {
		fd, err := unix.Open(p, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			m.Close()
			return nil, fmt.Errorf("open %s: %w", p, err)
		}
		m.dirs = append(m.dirs, fd)
	}
	return m, nil
}

// MergedOf takes open directories, which it closes in the end.
func MergedOf(fds ...int) *Merged { return &Merged{fds} }

// Close closes the directories.
func (m *Merged) Close() {
	for _, fd := range m.dirs {
		_ = unix.Close(fd)
	}
	m.dirs = nil
}

// IsWhiteout tells whether a file hides its name in the layers below: a character device 0:0.
func IsWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

func isDir(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }

// IsOpaque tells whether an open directory hides those below, by either mark.
func IsOpaque(dir int) bool {
	var b [4]byte
	for _, mark := range []Mark{UserMark, TrustedMark} {
		if n, err := unix.Fgetxattr(dir, string(mark), b[:]); err == nil && n == 1 && b[0] == 'y' {
			return true
		}
	}
	return false
}

// Lookup finds a name; ok is false when no layer has it, or when it is hidden.
func (m *Merged) Lookup(name string) (f Found, ok bool, err error) {
	for _, dir := range m.dirs {
		st, there, err := stat(dir, name)
		if errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			return f, false, err
		}
		if !there {
			continue
		}
		if IsWhiteout(st) {
			return f, false, nil
		}
		return Found{*st, dir}, true, nil
	}
	return f, false, nil
}

// Sub opens a directory of the union. The caller closes it.
func (m *Merged) Sub(name string) (*Merged, error) {
	sub := &Merged{}
	for _, dir := range m.dirs {
		st, there, err := stat(dir, name)
		if err != nil {
			sub.Close()
			return nil, err
		}
		if !there {
			continue
		}
		if !isDir(st) {
			break
		}
		fd, ok, err := openChild(dir, name)
		if err != nil {
			sub.Close()
			return nil, err
		}
		if !ok {
			continue
		}
		sub.dirs = append(sub.dirs, fd)
		if IsOpaque(fd) {
			break
		}
	}
	return sub, nil
}

// Names lists what the union has in this directory, sorted. Unlike a skeleton it is complete.
func (m *Merged) Names() ([]string, error) {
	seen, hidden := map[string]bool{}, map[string]bool{}
	for _, dir := range m.dirs {
		list, err := ReadNames(dir)
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			if seen[d] || hidden[d] {
				continue
			}
			st, ok, err := stat(dir, d)
			if err != nil {
				return nil, err
			}
			switch {
			case !ok:
			case IsWhiteout(st):
				hidden[d] = true
			default:
				seen[d] = true
			}
		}
	}
	names := make([]string, 0, len(seen))
	for n := range seen {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, nil
}

// ReadNames lists an open directory from its beginning, sorted, each name once, but for "." and "..".
func ReadNames(dir int) ([]string, error) {
	// A description of its own: others may read the same directory.
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var names []string
	err = dirents.Each(fd, make([]byte, dirents.BufferSize), func(name []byte, _ uint8) bool {
		names = append(names, string(name))
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return slices.Compact(names), nil // one that is renamed meanwhile may be told twice
}
