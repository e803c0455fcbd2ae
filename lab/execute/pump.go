package execute

import (
	"errors"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// relaySize is how much is passed on at once: what a pipe holds.
const relaySize = 64 << 10

// spliceSize is how much is passed on at once where it is not copied.
const spliceSize = 1 << 20

// lastOfTerminal bounds what is read of a terminal after the command's end: the kernel's buffers hold less.
const lastOfTerminal = 1 << 20

// pump passes on what a command writes.
type pump struct {
	from, to *os.File     // to may be nil: nobody wants it
	ended    *atomic.Bool // the command has, and a deadline interrupts the reading
	buf      []byte
	way      int
	err      error // of writing
}

// run passes on what comes until its end or, when the command has ended, what is there then: what that has left behind may
// write for ever. It returns an error of writing.
func (p *pump) run() error {
	c, err := p.from.SyscallConn()
	if err != nil {
		return err
	}
	p.buf = make([]byte, 512) // most commands write nothing to one of the two
	var over bool
	err = c.Read(func(fd uintptr) bool {
		for !p.ended.Load() {
			n, wait := p.pass(int(fd), spliceSize)
			if wait {
				return false
			}
			if over = n == 0; over {
				return true
			}
		}
		return false // the deadline says so
	})
	if over {
		return p.err
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err // closed, by who does not wait for the end
	}
	if err := c.Control(p.rest); err != nil {
		return err
	}
	return p.err
}

// rest passes on what is there.
func (p *pump) rest(fd uintptr) {
	most, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
	if _, terr := unix.IoctlGetTermios(int(fd), unix.TCGETS); err != nil || terr == nil {
		most = lastOfTerminal // some may be on its way through the line discipline, and comes with a read
	}
	for most > 0 {
		n, wait := p.pass(int(fd), most)
		if n == 0 || wait {
			return
		}
		most -= n
	}
}

// pass passes on what one read gives. It returns 0 at the end, and when it cannot be written.
func (p *pump) pass(fd, most int) (n int, wait bool) {
	for {
		var err error
		switch p.way {
		case unknownWay:
			p.way = wayTo(p.to)
			continue
		case copying:
			n, err = unix.Read(fd, p.buf[:min(most, len(p.buf))])
		case splicing:
			n, err = p.splice(fd, most)
		}
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, true
		case p.err != nil, err != nil, n <= 0: // a terminal ends with EIO
			return 0, false
		case p.way == splicing:
			return n, false
		}
		if p.err = writeAll(p.to, p.buf[:n]); p.err != nil {
			return 0, false
		}
		if len(p.buf) < relaySize {
			p.buf = make([]byte, relaySize)
		}
		return n, false
	}
}

// Ways to pass on.
const (
	unknownWay = iota
	copying
	splicing
)

// wayTo is splicing where a pipe's pages can be had by a file without being copied to here: for pipes and plain files.
func wayTo(to *os.File) int {
	fd, ok := descriptor(to)
	var st unix.Stat_t
	if !ok || unix.Fstat(fd, &st) != nil {
		return copying
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO, unix.S_IFREG:
		return splicing
	}
	return copying
}

// splice passes on up to most bytes by splice(2). Where that is not possible, as to a file that is appended to, the way is another one from
// then on, which also tells why what there is cannot be written.
func (p *pump) splice(fd, most int) (int, error) {
	to, ok := descriptor(p.to)
	if !ok {
		p.err = os.ErrClosed
		return 0, p.err
	}
	n, err := unix.Splice(fd, nil, to, nil, min(most, spliceSize), unix.SPLICE_F_NONBLOCK)
	switch {
	case errors.Is(err, unix.EAGAIN):
		// Either has nothing, or the other one is full.
		if there, err := unix.IoctlGetInt(fd, unix.TIOCINQ); err != nil || there == 0 {
			return 0, unix.EAGAIN
		}
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(to), Events: unix.POLLOUT}}, -1)
		if err == nil {
			err = unix.EINTR
		}
		return 0, err
	case errors.Is(err, unix.EPIPE):
		p.err = err
	case err != nil && !errors.Is(err, unix.EINTR):
		p.way = copying
		return 0, unix.EINTR
	}
	return int(n), err
}

// writeAll writes to a file in whatever mode it is, and waits where that is not a blocking one. Unlike (*os.File).Write it
// lets the process live when nobody reads its standard output any more: a terminal has to be given back.
func writeAll(to *os.File, b []byte) error {
	fd, ok := descriptor(to)
	if !ok {
		if to == nil {
			return nil
		}
		return os.ErrClosed
	}
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1); err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
		case err != nil:
			return err
		default:
			b = b[n:]
		}
	}
	return nil
}
