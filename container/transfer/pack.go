package transfer

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxUnsized is how much is read of a file that says it is empty.
const maxUnsized = 1 << 20

// Pack writes the file or directory at path as an archive. A symbolic link at path itself is followed,
// those below are kept. note is called for what is left out.
func Pack(w io.Writer, path string, note func(string)) error {
	found, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	p := packer{tar: tar.NewWriter(w), note: note}
	err = filepath.WalkDir(found, func(at string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(found, at)
		if err != nil {
			return err
		}
		return p.add(at, rel)
	})
	if err != nil {
		return err
	}
	return p.tar.Close()
}

type packer struct {
	tar  *tar.Writer
	note func(string)
}

// add adds what is at a path under a name.
func (p *packer) add(at, name string) error {
	fi, err := os.Lstat(at)
	if err != nil {
		return err
	}
	h := &tar.Header{Name: name, Mode: int64(fi.Mode().Perm()), ModTime: fi.ModTime().Truncate(time.Microsecond), Format: tar.FormatPAX}
	switch fi.Mode().Type() {
	case fs.ModeDir:
		h.Typeflag = tar.TypeDir
		return p.tar.WriteHeader(h)
	case fs.ModeSymlink:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = os.Readlink(at); err != nil {
			return err
		}
		return p.tar.WriteHeader(h)
	case 0:
		return p.file(at, h)
	}
	if name == "." {
		return fmt.Errorf("%s is neither a file nor a directory", at)
	}
	p.note(at + " is neither a file, a directory nor a link, and is left out")
	return nil
}

// file adds a regular file. One that becomes longer meanwhile is cut where it ended, one that becomes
// shorter is filled up with zeros: the size comes first.
func (p *packer) file(at string, h *tar.Header) error {
	// What becomes a named pipe or a link between two looks must not stop or lead anywhere.
	f, err := os.OpenFile(at, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s has become something else meanwhile", at)
	}
	h.Typeflag, h.Size = tar.TypeReg, fi.Size()
	from := io.Reader(f)
	if h.Size == 0 { // as each file of proc says of itself
		b, err := io.ReadAll(io.LimitReader(f, maxUnsized))
		if err != nil {
			return fmt.Errorf("read %s: %w", at, err)
		}
		h.Size, from = int64(len(b)), bytes.NewReader(b)
	}
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(p.tar, io.LimitReader(from, h.Size))
	if err != nil {
		return fmt.Errorf("copy %s: %w", at, err)
	}
	if n < h.Size {
		p.note(at + " has become shorter meanwhile")
		_, err = io.Copy(p.tar, io.LimitReader(zeros{}, h.Size-n))
	}
	return err
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
