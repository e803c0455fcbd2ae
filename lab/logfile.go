package lab

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/nsnet/nsnet/container/wire"
)

// logReader reads a node's log chunk by chunk, the older log first, and goes on where it stopped when
// there is more. The node's init writes both files meanwhile, and moves the log over the older one when
// it is full.
type logReader struct {
	path  string
	cur   *os.File
	first []byte // header of the log's first chunk, by which it is known again; nil: not seen yet
	at    int64  // in cur
	older []logChunk
}

// logChunk is output as it was read from the command, and when. A log that an earlier version writes
// has no times.
type logChunk struct {
	at   time.Time
	text []byte
}

func openLog(path string) (*logReader, error) {
	cur, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := &logReader{path: path, cur: cur}
	if r.first, err = r.header(cur); err == nil {
		// Between this look and the one above the log may have been moved: next finds out.
		r.older, err = r.moved(0)
	}
	if err != nil {
		cur.Close()
		return nil, err
	}
	return r, nil
}

func (r *logReader) close() { _ = r.cur.Close() }

// next returns the next chunk. ok is false where there is none yet.
func (r *logReader) next() (c logChunk, ok bool, err error) {
	if len(r.older) == 0 {
		if err := r.follow(); err != nil {
			return logChunk{}, false, err
		}
	}
	if len(r.older) > 0 {
		c, r.older = r.older[0], r.older[1:]
		return c, true, nil
	}
	c, size, err := readChunk(r.cur, r.at)
	if size == 0 || err != nil {
		return logChunk{}, false, err
	}
	r.at += size
	return c, true, nil
}

// follow finds out whether the log was moved over the older one since it was looked at, and then reads
// on there.
func (r *logReader) follow() error {
	st, err := r.cur.Stat()
	if err != nil {
		return err
	}
	first, err := r.header(r.cur)
	if err != nil {
		return err
	}
	if r.first != nil && (st.Size() < r.at || first != nil && !bytes.Equal(first, r.first)) {
		if r.older, err = r.moved(r.at); err != nil {
			return err
		}
		r.at = 0
	} else if first == nil {
		return nil
	}
	r.first = first
	return nil
}

// moved returns the chunks of the older log from an offset on. They are kept in memory: the file is
// replaced when the log is full again.
func (r *logReader) moved(from int64) ([]logChunk, error) {
	f, err := os.Open(r.path + ".1")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a down is at it
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if first, err := r.header(f); err != nil || from > 0 && !bytes.Equal(first, r.first) {
		from = 0 // it was moved twice: what was in between is gone
	}
	var all []logChunk
	for {
		c, size, err := readChunk(f, from)
		if size == 0 || err != nil {
			return all, err
		}
		all = append(all, c)
		from += size
	}
}

// header returns the header of a log's first chunk, or nil where there is none yet.
func (r *logReader) header(f *os.File) ([]byte, error) {
	b := make([]byte, wire.LogHeader)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		if err == io.EOF {
			err = nil
		}
		return nil, err
	}
	return b, nil
}

// readChunk reads the chunk at an offset, and returns how much of the file it is: 0 where it is not
// there, or not whole yet. A file without chunks is taken as it is.
func readChunk(f *os.File, at int64) (c logChunk, size int64, err error) {
	b := make([]byte, wire.LogHeader+wire.LogChunk)
	n, err := f.ReadAt(b, at)
	if err != nil && err != io.EOF {
		return c, 0, err
	}
	b = b[:n]
	length, micros, ok := wire.ParseLogHeader(b)
	switch {
	case n == 0 || n < wire.LogHeader && at > 0:
		return c, 0, nil
	case !ok && n >= 4 && plainLog(b):
		return logChunk{text: b}, int64(n), nil
	case !ok || len(b) < wire.LogHeader+length:
		return c, 0, nil
	}
	return logChunk{time.UnixMicro(int64(micros)), b[wire.LogHeader:][:length]}, int64(wire.LogHeader + length), nil
}

// plainLog reports whether b is text of a log that an earlier version of nsnet writes: its first bytes
// are no length of a chunk.
func plainLog(b []byte) bool {
	padded := make([]byte, wire.LogHeader)
	copy(padded, b)
	_, _, ok := wire.ParseLogHeader(padded)
	return !ok
}
