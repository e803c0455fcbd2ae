package labinit

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
)

// patience is how long a command that was asked for waits to be taken by the node's init.
const patience = 5 * time.Second

// outbox sends messages to a node's init, one after the other. Who puts one in does not wait: an init that is stopped from outside, or
// that starts a program of a file system that hangs, takes nothing, and once its socket is full who waits for it with a
// lock in the hand holds up the whole lab. The zero value is empty.
type outbox struct {
	mu      sync.Mutex
	waiting []*message // the first is being sent
}

// message is one that waits to be sent.
type message struct {
	kind wire.Kind
	body []byte
	fds  []int      // its own, to be closed once it is sent
	sent chan error // told how it went; room for one
}

// put sends a message after those before it. That the init is gone, watch finds out.
func (o *outbox) put(c *container.Conn, k wire.Kind, body []byte, fds ...int) *message {
	m := &message{k, body, fds, make(chan error, 1)}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting = append(o.waiting, m); len(o.waiting) == 1 {
		go o.send(c, m)
	}
	return m
}

// send sends a message and all that come to wait behind it.
func (o *outbox) send(c *container.Conn, m *message) {
	for m != nil {
		m.sent <- c.Send(m.kind, m.body, m.fds...)
		closeAll(m.fds)
		m = o.next()
	}
}

// next is the message to send after the first.
func (o *outbox) next() *message {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting = slices.Delete(o.waiting, 0, 1); len(o.waiting) == 0 {
		o.waiting = nil
		return nil
	}
	return o.waiting[0]
}

// await waits until a message is sent. One that takes too long is taken back, unless a part of it is sent already.
func (o *outbox) await(m *message, limit time.Duration) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case err := <-m.sent:
		return err
	case <-late.C:
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := slices.Index(o.waiting, m); i > 0 {
		o.waiting = slices.Delete(o.waiting, i, i+1)
		closeAll(m.fds)
	}
	return fmt.Errorf("its init has taken nothing for %v: it may be stopped (SIGSTOP) or frozen by somebody else, or a file system that it starts commands from may hang", limit)
}

// duplicates are descriptors of the same files, close-on-exec. fcntl(2).
func duplicates(fds []int) ([]int, error) {
	own := make([]int, 0, len(fds))
	for _, fd := range fds {
		d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			closeAll(own)
			return nil, fmt.Errorf("duplicate a descriptor: %w", err)
		}
		own = append(own, d)
	}
	return own, nil
}
