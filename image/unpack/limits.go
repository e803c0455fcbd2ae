package unpack

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// ErrLimit is what exceeding one of Limits is.
var ErrLimit = errors.New("a limit is exceeded")

// Limits are what one layer may not exceed, and all of an image together. The zero value of a field is no limit.
type Limits struct {
	Image      int64 // bytes of files of all layers that share a Budget
	Size       int64 // bytes of a layer, uncompressed
	Entries    int   // entries of the archive
	Path       int   // bytes of a name, or of a link's target
	Depth      int   // directories above an entry
	Ratio      int64 // uncompressed to compressed size, looked at beyond RatioAfter
	RatioAfter int64
}

// DefaultLimits are the documented ones.
func DefaultLimits() Limits {
	return Limits{Image: 32 << 30, Size: 8 << 30, Entries: 1_000_000, Path: 4096, Depth: 255, Ratio: 200, RatioAfter: 64 << 20}
}

// check judges how much has come out of how much.
func (l *Limits) check(in, out int64) error {
	switch {
	case l.Size > 0 && out > l.Size:
		return fmt.Errorf("%w: more than %d MiB uncompressed", ErrLimit, l.Size>>20)
	case l.Ratio > 0 && out > l.RatioAfter && out > l.Ratio*in:
		return fmt.Errorf("%w: %d bytes became %d, more than %d times as many", ErrLimit, in, out, l.Ratio)
	}
	return nil
}

// Budget is how much the layers of an image have written so far. They are unpacked in parallel. The zero value is nothing.
type Budget struct{ used atomic.Int64 }

// spend says when it is too much.
func (b *Budget) spend(n, limit int64) error {
	if b == nil || limit <= 0 || b.used.Add(n) <= limit {
		return nil
	}
	return fmt.Errorf("%w: more than %d MiB in all layers of the image", ErrLimit, limit>>20)
}

// counter counts what is read through it.
type counter struct {
	r io.Reader
	n atomic.Int64 // what is read ahead is counted elsewhere than it is asked for
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// meter is an uncompressed stream that ends with an error where it exceeds the limits.
type meter struct {
	r      io.Reader
	in     *counter
	limits *Limits
	out    int64
	budget *Budget // nil: of what is not written
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.out += int64(n)
	if lerr := m.limits.check(m.in.n.Load(), m.out); lerr != nil {
		return 0, lerr
	}
	if lerr := m.budget.spend(int64(n), m.limits.Image); lerr != nil {
		return 0, lerr
	}
	return n, err
}
