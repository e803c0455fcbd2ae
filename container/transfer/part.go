package transfer

import (
	"archive/tar"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// part is a file that is written beside its place and then put there: nobody sees half of it, and a link in its
// place is replaced and not followed.
type part struct {
	f    *os.File
	dir  int // of a level, which closes it
	part string
	name string
	kept *facts
	size int64 // where pieces are to follow, else -1
	next int64 // where the last one ended
}

// file begins a file, which further entries may be pieces of.
func (u *unpacker) file(dir int, h *tar.Header, name string) error {
	size, sparse, err := record(h, sizeRecord)
	if err != nil {
		return err
	}
	if !sparse {
		size = -1
	}
	if _, err := u.look(dir, name); err != nil {
		return err
	}
	p := &part{dir: dir, part: ".nsnet-cp-" + rand.Text(), name: name, kept: factsOf(h), size: size}
	fd, err := below(dir, p.part, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return u.refused(name, err)
	}
	p.f = os.NewFile(uintptr(fd), name)
	u.part = p
	if sparse {
		err = p.f.Truncate(size)
	} else {
		_, err = io.Copy(p.f, u.tar)
	}
	if err != nil {
		return u.refused(name, err)
	}
	return nil
}

// piece writes one of a file's pieces. What is between two is a hole.
func (u *unpacker) piece(h *tar.Header, name string, at int64) error {
	p := u.part
	if p == nil || p.name != name || h.Typeflag != tar.TypeReg || at < p.next || h.Size > p.size-at {
		return fmt.Errorf("the archive has a piece of %.80q out of its place", h.Name)
	}
	p.next = at + h.Size
	_, err := p.f.Seek(at, io.SeekStart)
	if err == nil {
		_, err = io.Copy(p.f, u.tar)
	}
	if err != nil {
		return u.refused(name, err)
	}
	return nil
}

// settle puts the last file in its place.
func (u *unpacker) settle() error {
	p := u.part
	if p == nil {
		return nil
	}
	err := p.kept.give(int(p.f.Fd()))
	err = errors.Join(err, p.f.Close())
	if err != nil {
		return u.refused(p.name, err)
	}
	if err := unix.Renameat(p.dir, p.part, p.dir, filepath.Base(p.name)); err != nil {
		return u.mounted(p.name, err)
	}
	u.part = nil
	return nil
}

// drop removes a file that has not become whole.
func (p *part) drop() error {
	_ = p.f.Close() // settle may have
	if err := unix.Unlinkat(p.dir, p.part, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove a part of %s: %w", p.name, err)
	}
	return nil
}
