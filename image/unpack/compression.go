package unpack

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is how far back zstd may refer, which is what a decoder keeps in memory. Images are made with 8 MiB at most;
// zstd --long goes further.
const maxWindow = 32 << 20

// decompress looks at what r begins with, as the types that registries give are not to be relied on.
func decompress(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	magic, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		return z, nil
	case isZstd(magic):
		// By one goroutine, this one, and with no memory but the window: layers are what is done in parallel.
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		return &zstdReader{z.IOReadCloser()}, nil
	case bytes.HasPrefix(magic, []byte("BZh")):
		return nil, fmt.Errorf("bzip2: %w", ErrCompression)
	case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return nil, fmt.Errorf("xz: %w", ErrCompression)
	}
	return io.NopCloser(b), nil
}

// isZstd knows a frame of zstd, and one to be skipped, with which parallel compressors begin. RFC 8878 section 3.1.
func isZstd(b []byte) bool {
	const frame, skipped, anyOfSixteen = 0xfd2fb528, 0x184d2a50, 0xf
	if len(b) < 4 {
		return false
	}
	magic := binary.LittleEndian.Uint32(b)
	return magic == frame || magic&^anyOfSixteen == skipped
}

// zstdReader tells of windows in this package's words.
type zstdReader struct{ io.ReadCloser }

func (z *zstdReader) Read(p []byte) (int, error) {
	n, err := z.ReadCloser.Read(p)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		err = fmt.Errorf("%w: its zstd refers back more than %d MiB", ErrLimit, maxWindow>>20)
	}
	return n, err
}
