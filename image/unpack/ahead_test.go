package unpack

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// What comes out is what went in, whatever the sizes of reads on both sides, and the error behind it.
func TestReadAhead(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789abcdefg"), 3*aheadPieces*aheadPiece/17)
	trouble := errors.New("trouble")
	for name, r := range map[string]io.Reader{
		"whole":  bytes.NewReader(content),
		"halves": iotest.HalfReader(bytes.NewReader(content)),
		"end":    iotest.DataErrReader(bytes.NewReader(content)),
		"error":  io.MultiReader(bytes.NewReader(content), iotest.ErrReader(trouble)),
	} {
		a := readAhead(r)
		got, err := io.ReadAll(a)
		if name == "error" != errors.Is(err, trouble) || !bytes.Equal(got, content) {
			t.Errorf("%s: %d of %d bytes, %v", name, len(got), len(content), err)
		}
		if n, again := a.Read(make([]byte, 1)); n != 0 || again == nil {
			t.Errorf("%s: behind its end %d, %v", name, n, again)
		}
		a.Close()
	}
}

// Who has seen enough does not wait for the rest.
func TestReadAheadClosed(t *testing.T) {
	t.Parallel()
	reads := 0
	a := readAhead(readerFunc(func(p []byte) (int, error) { reads++; return len(p), nil }))
	if _, err := io.ReadFull(a, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	a.Close()
	if reads > 2*aheadPieces {
		t.Errorf("%d reads", reads)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
