package nodeinit

import (
	"syscall"

	"github.com/nsnet/nsnet/container/wire"
)

// logMax is where a node's log is moved aside: a node keeps between one and two of these.
const logMax = 1 << 20

// shareMax is how much output one message to the lab init carries.
const shareMax = 8 << 10

// logFile is where the output of all runs of the node's command goes.
type logFile struct {
	fd, old int
	size    int // of fd
}

// output is one run's, on its way to the log.
type output struct {
	from  int // a pipe's end, without blocking
	log   *logFile
	buf   []byte
	share func(b []byte) // tells the lab init, if that wants to know
	ended bool           // nobody can write any more, it is closed
}

func newOutput(from int, log *logFile) *output {
	_ = syscall.SetNonblock(from, true) // of this end alone: the command's writes wait as ever
	return &output{from: from, log: log, buf: make([]byte, 32<<10)}
}

// share tells the lab init of output while it wants to know.
func (s *state) share(b []byte) {
	for s.sharing && len(b) > 0 {
		part := b[:min(len(b), shareMax)]
		send(Socket, wire.Output, part, nil)
		b = b[len(part):]
	}
}

// dropEnded forgets outputs that nobody can write to any more.
func (s *state) dropEnded() {
	left := s.outputs[:0]
	for _, o := range s.outputs {
		if !o.ended {
			left = append(left, o)
		}
	}
	clear(s.outputs[len(left):])
	s.outputs = left
}

// pump copies what has come to the log. Its end may be long after the command's: what that started in
// the background has the pipe, too.
func (o *output) pump() {
	if o.copy(len(o.buf)) == 0 {
		o.ended = true
		_ = syscall.Close(o.from)
	}
}

// drain returns when all that was written up to now is in the log.
func (o *output) drain() {
	if !o.ended {
		o.copy(pending(o.from))
	}
}

// copy copies limit bytes, or what there is if that is less, and returns 0 when the output
// has ended. When the log is full it becomes the older log, so that its size is bounded and
// its end is always there.
func (o *output) copy(limit int) int {
	for limit > 0 {
		n, err := syscall.Read(o.from, o.buf)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return -1
		case err != nil || n == 0:
			return 0
		}
		limit -= n
		if o.log.size += n; o.log.size > logMax {
			moveAside(o.log.fd, o.log.old)
			o.log.size = n
		}
		_ = writeAll(o.log.fd, string(o.buf[:n])) // a full disk must not stop the command
		if o.share != nil {
			o.share(o.buf[:n])
		}
	}
	return -1
}

// moveAside copies log over old and empties log.
func moveAside(log, old int) {
	_ = syscall.Ftruncate(old, 0)
	_, _ = syscall.Seek(old, 0, 0)
	_, _ = syscall.Seek(log, 0, 0)
	for {
		n, err := syscall.Sendfile(old, log, nil, logMax)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n == 0 {
			break
		}
	}
	_ = syscall.Ftruncate(log, 0)
	_, _ = syscall.Seek(log, 0, 0)
}
