package transfer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxName bounds a name of an archive (PATH_MAX).
const maxName = 4096

// maxRecords bounds what an entry says in extended headers: two names, and little else. archive/tar reads a MiB.
const maxRecords = 16 << 10

// ErrEmpty is of an archive in which nothing is.
var ErrEmpty = errors.New("the archive is empty")

// Unpack reads an archive and puts what is in it at dst, as cp(1) does: into dst under the name base
// where dst is a directory, else as dst itself. A base of "." puts the content of a directory into dst. What is made is
// made in open directories, and no link is followed but those at dst that open follows. It holds one descriptor a level, and of the
// archive no more than an entry for each.
func Unpack(r io.Reader, open Opener, dst, base string) error {
	t := tar.NewReader(r)
	h, err := t.Next()
	if errors.Is(err, io.EOF) {
		return ErrEmpty
	}
	if err != nil {
		return err
	}
	if err := sober(h); err != nil {
		return err
	}
	if h.Name != "." && h.Name != "./" {
		return fmt.Errorf("the archive begins with %q", h.Name)
	}
	if h.Typeflag != tar.TypeDir && h.Typeflag != tar.TypeReg {
		return errors.New("the archive is of neither a file nor a directory")
	}
	to, err := destinationOf(open, dst, base, h.Typeflag == tar.TypeDir)
	if err != nil {
		return err
	}
	u := unpacker{tar: t, shown: to.shown}
	if h.Typeflag == tar.TypeReg && to.name == "." {
		_ = unix.Close(to.dir)
		return errors.New("it is a file, and has no content to be copied into a directory")
	}
	if h.Typeflag == tar.TypeReg {
		u.single = to.name
		u.levels = []*level{{fd: to.dir, name: "."}}
	} else if err := u.top(to, h); err != nil {
		return err
	}
	return errors.Join(u.all(h), u.close())
}

// unpacker writes beneath one directory.
type unpacker struct {
	tar    *tar.Reader
	shown  string   // how the directory is called in messages
	single string   // the name of the only file, if the archive is of one
	levels []*level // the directories that the last entry is in, and itself if it is one, the outermost first
	part   *part    // a file of which pieces may follow
}

// level is an open directory.
type level struct {
	fd   int
	name string
	kept *facts // given to it at its end: they may forbid to write; nil: nothing is
}

// facts are what is kept of a file or directory.
type facts struct {
	mode uint32 // permissions, without what would give privileges
	time time.Time
}

func factsOf(h *tar.Header) *facts { return &facts{uint32(h.Mode) & 0o777, h.ModTime} }

// give gives them to an open file.
func (k *facts) give(fd int) error {
	if err := unix.Fchmod(fd, k.mode); err != nil {
		return fmt.Errorf("set its permissions: %w", err)
	}
	at, err := unix.TimeToTimespec(k.time)
	if err == nil {
		err = unix.UtimesNanoAt(fd, "", []unix.Timespec{{Nsec: unix.UTIME_NOW}, at}, unix.AT_EMPTY_PATH)
	}
	if err != nil {
		return fmt.Errorf("set its time: %w", err)
	}
	return nil
}

// top opens the directory that becomes what the archive is of.
func (u *unpacker) top(to destination, h *tar.Header) error {
	defer unix.Close(to.dir)
	if to.name == "." {
		fd, err := openat(to.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return fmt.Errorf("open %s: %w", u.shown, err)
		}
		u.levels = []*level{{fd, ".", factsOf(h)}}
		return nil
	}
	u.shown = filepath.Join(u.shown, to.name)
	fd, err := u.makeDir(to.dir, to.name, ".")
	if err == nil {
		u.levels = []*level{{fd, ".", factsOf(h)}}
	}
	return err
}

// makeDir opens a directory that is made if it is not there.
func (u *unpacker) makeDir(dir int, name, shown string) (int, error) {
	fail := func(err error) (int, error) { return -1, u.refused(shown, err) }
	if err := unix.Mkdirat(dir, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return fail(err)
	}
	fd, err := below(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return -1, fmt.Errorf("%s is there and is no directory: it is not replaced", filepath.Join(u.shown, shown))
	}
	if err != nil {
		return fail(err)
	}
	return fd, nil
}

// all adds what the archive is of and what follows.
func (u *unpacker) all(h *tar.Header) error {
	var err error
	if u.single != "" {
		err = u.add(h)
	}
	for err == nil {
		if h, err = u.tar.Next(); errors.Is(err, io.EOF) {
			return u.leaveTo("")
		}
		if err == nil {
			err = sober(h)
		}
		if err == nil {
			err = u.add(h)
		}
	}
	return err
}

// sober refuses what no Pack writes: endless headers, and files with holes as GNU tar has them, of which few bytes make as
// many zeros as they say.
func sober(h *tar.Header) error {
	n := 0
	for key, value := range h.PAXRecords {
		if n += len(key) + len(value); n > maxRecords || strings.HasPrefix(key, "GNU.sparse.") {
			return fmt.Errorf("the archive says more than is asked for of %.80q", h.Name)
		}
	}
	return nil
}

// close closes what is open, and removes a file that has not become whole.
func (u *unpacker) close() error {
	var err error
	if u.part != nil {
		err = u.part.drop()
	}
	for _, l := range u.levels {
		_ = unix.Close(l.fd)
	}
	return err
}

func (u *unpacker) add(h *tar.Header) error {
	name := strings.TrimSuffix(h.Name, "/")
	if u.single != "" && name == "." && h.Typeflag == tar.TypeReg {
		name = u.single
	} else if len(name) > maxName || name == "." || !filepath.IsLocal(name) || filepath.Clean(name) != name || u.single != "" {
		return fmt.Errorf("the archive has an entry %.80q", h.Name)
	}
	if at, found, err := record(h, placeRecord); err != nil || found {
		if err == nil {
			err = u.piece(h, name, at)
		}
		return err
	}
	if u.single != "" && u.part != nil {
		return errors.New("the archive is of several files")
	}
	if err := u.leaveTo(filepath.Dir(name)); err != nil {
		return err
	}
	if len(u.levels) == 0 {
		return fmt.Errorf("the archive has an entry %.80q out of its place", h.Name)
	}
	in := u.levels[len(u.levels)-1]
	switch h.Typeflag {
	case tar.TypeDir:
		fd, err := u.makeDir(in.fd, filepath.Base(name), name)
		if err == nil {
			u.levels = append(u.levels, &level{fd, name, factsOf(h)})
		}
		return err
	case tar.TypeSymlink:
		if err := u.clear(in.fd, name); err != nil {
			return err
		}
		if err := unix.Symlinkat(h.Linkname, in.fd, filepath.Base(name)); err != nil {
			return u.refused(name, err)
		}
		return nil
	case tar.TypeReg:
		return u.file(in.fd, h, name)
	}
	return fmt.Errorf("%s is of a kind that is not copied", name)
}

// leaveTo ends the last file and the directories that are not a directory or above it, the innermost first.
func (u *unpacker) leaveTo(dir string) error {
	if err := u.settle(); err != nil {
		return err
	}
	for len(u.levels) > 0 {
		last := u.levels[len(u.levels)-1]
		if last.name == dir {
			return nil
		}
		u.levels = u.levels[:len(u.levels)-1]
		var err error
		if last.kept != nil {
			err = last.kept.give(last.fd)
		}
		_ = unix.Close(last.fd)
		if err != nil {
			return fmt.Errorf("copy %s: %w", filepath.Join(u.shown, last.name), err)
		}
	}
	return nil
}

// clear removes what is no directory at a name.
func (u *unpacker) clear(dir int, name string) error {
	there, err := u.look(dir, name)
	if err == nil && there {
		err = u.mounted(name, unix.Unlinkat(dir, filepath.Base(name), 0))
	}
	return err
}

// look reports whether something is at a name, and refuses a directory.
func (u *unpacker) look(dir int, name string) (bool, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dir, filepath.Base(name), &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, u.refused(name, err)
	}
	if kindOf(&st) == unix.S_IFDIR {
		return false, fmt.Errorf("%s is a directory: it is not replaced", filepath.Join(u.shown, name))
	}
	return true, nil
}

// mounted says in words that a file cannot be replaced because something is mounted at it.
func (u *unpacker) mounted(name string, err error) error {
	if !errors.Is(err, unix.EBUSY) {
		if err != nil {
			err = u.refused(name, err)
		}
		return err
	}
	return fmt.Errorf("%s is a mount point and is not replaced; what a bind shows there is changed at its source on the host: %w", filepath.Join(u.shown, name), err)
}

// refused says of a file that cannot be made which one that is: the name that it is made under is nobody's.
func (u *unpacker) refused(name string, err error) error {
	if errors.Is(err, unix.EROFS) {
		err = fmt.Errorf("%w: a bind is read-only unless the file says rw", err)
	}
	return fmt.Errorf("copy %s: %w", filepath.Join(u.shown, name), err)
}
