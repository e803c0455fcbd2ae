package transfer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Records of an archive's entries about files with holes: the size of a file of which only pieces follow, each an entry
// of the same name, and where in the file a piece is.
const (
	sizeRecord  = "NSNET.size"
	placeRecord = "NSNET.place"
)

// record returns a number of an entry, and whether it has that.
func record(h *tar.Header, key string) (n int64, found bool, err error) {
	text, found := h.PAXRecords[key]
	if !found {
		return 0, false, nil
	}
	u, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, true, fmt.Errorf("the archive says of %.80q %s %.40q", h.Name, key, text)
	}
	return int64(u), true, nil
}

// hasHoles reports whether a file is sparse. A file system that does not know holes has none. lseek(2), SEEK_HOLE.
func hasHoles(f *os.File, size int64) bool {
	if size == 0 {
		return false
	}
	hole, err := f.Seek(0, unix.SEEK_HOLE)
	if _, back := f.Seek(0, io.SeekStart); back != nil {
		return false // what cannot be read anywhere is read from its beginning
	}
	return err == nil && hole < size
}

// pieces adds a file with holes: an entry without content, and one for each piece between the holes. lseek(2), SEEK_DATA.
func (p *packer) pieces(f *os.File, h *tar.Header, size int64) error {
	h.PAXRecords = map[string]string{sizeRecord: strconv.FormatInt(size, 10)}
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	for at := int64(0); at < size; {
		begin, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && begin >= size {
			return nil // a hole up to the end
		}
		if err != nil {
			return err
		}
		end, err := f.Seek(begin, unix.SEEK_HOLE)
		if err != nil {
			if errors.Is(err, unix.ENXIO) {
				return nil // it has become shorter
			}
			return err
		}
		end = min(end, size)
		if _, err := f.Seek(begin, io.SeekStart); err != nil {
			return err
		}
		piece := &tar.Header{Name: h.Name, Typeflag: tar.TypeReg, Mode: h.Mode, ModTime: h.ModTime, Size: end - begin, Format: tar.FormatPAX,
			PAXRecords: map[string]string{placeRecord: strconv.FormatInt(begin, 10)}}
		if err := p.content(f, piece, f.Name()); err != nil {
			return err
		}
		at = end
	}
	return nil
}
