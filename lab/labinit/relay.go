package labinit

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// halfOpen is how long a connection of which one side has said its last may go without data from the other.
	halfOpen = 5 * time.Minute
	// broken is the same where the one side is not there any more: what the other has sent by then is passed on.
	broken = time.Second
)

// piece is what is passed on at a time, no less than the largest datagram.
type piece [64 << 10]byte

// pieces are buffers for who has something to pass on. That most wait for data costs no memory, and no descriptors, which pipes for splice(2) do.
type pieces struct{ pool sync.Pool }

// reader reads from a socket, or a deadline passes.
type reader struct {
	*pieces
	raw syscall.RawConn
}

func (p *pieces) reader(c net.Conn) (*reader, error) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	raw, err := s.SyscallConn()
	return &reader{p, raw}, err
}

// next waits for data, and has use take it, also where it is empty, the end of a stream.
func (r *reader) next(use func(b []byte) error) error {
	var got *piece
	var n int
	var err error
	waited := r.raw.Read(func(fd uintptr) bool {
		b, _ := r.pool.Get().(*piece)
		if b == nil {
			b = new(piece)
		}
		for err = unix.EINTR; err == unix.EINTR; {
			n, err = unix.Read(int(fd), b[:])
		}
		if err == unix.EAGAIN {
			r.pool.Put(b)
			return false
		}
		got = b
		return true
	})
	if waited != nil {
		return waited
	}
	defer r.pool.Put(got)
	if err != nil {
		return err
	}
	return use(got[:max(n, 0)])
}

// relay is a connection through a published port: two sockets.
type relay struct {
	*pieces
	halfOpen time.Duration
	patience atomic.Int64 // how long a direction may go without data, nanoseconds; 0: for ever, as both go
}

// run passes on what either side sends, and its end, until both have ended.
func (r *relay) run(a, b net.Conn) {
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		r.half(a, b)
	}()
	r.half(b, a)
	wg.Wait()
}

// half passes one direction on, and its end. Where that is the node's, all is over: a client may be idle, and not know for long.
func (r *relay) half(to, from net.Conn) {
	err := r.pass(to, from)
	if errors.Is(err, net.ErrClosed) {
		_ = to.Close()
		return
	}
	if t, ok := to.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
	patience := r.halfOpen
	if err != nil {
		patience = min(patience, broken)
	}
	r.patience.Store(int64(patience))
	now := time.Now()
	_, _ = to.SetReadDeadline(now.Add(patience)), from.SetWriteDeadline(now.Add(r.halfOpen))
}

// pass is nil at the end of what a side sends.
func (r *relay) pass(to, from net.Conn) error {
	reader, err := r.reader(from)
	if err != nil {
		return err
	}
	for more := true; more; {
		err := reader.next(func(b []byte) error {
			if more = len(b) > 0; !more {
				return nil
			}
			if r.patience.Load() > 0 {
				_ = to.SetWriteDeadline(time.Now().Add(r.halfOpen))
			}
			_, err := to.Write(b)
			if p := time.Duration(r.patience.Load()); p > 0 {
				_ = from.SetReadDeadline(time.Now().Add(p))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
