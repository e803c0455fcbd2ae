package nodeinit

import (
	"syscall"

	"github.com/nsnet/nsnet/container/wire"
)

// A node's log is moved aside when it holds logMax bytes of output: a node keeps between one and two
// of these. The headers of a command that writes a byte at a time are more than its output, so that its
// log is moved aside when it is logFileMax large.
const (
	logMax     = 1 << 20
	logFileMax = 4 * logMax
)

// shareMax is how much output one message to the lab init carries.
const shareMax = 8 << 10

// logFile is where the output of all runs of the node's command goes.
type logFile struct {
	fd, old int
	size    int // of fd
	output  int // of that, without headers
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
	return &output{from: from, log: log, buf: make([]byte, wire.LogHeader+wire.LogChunk)}
}

// share tells the lab init of output while it wants to know.
func (s *state) share(b []byte) {
	for s.sharing && len(b) > 0 {
		part := b[:min(len(b), shareMax)]
		send(Socket, wire.Output, part)
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
	if o.copy(wire.LogChunk) == 0 {
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
		n, err := syscall.Read(o.from, o.buf[wire.LogHeader:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return -1
		case err != nil || n == 0:
			return 0
		}
		limit -= n
		o.log.append(o.buf[:wire.LogHeader+n])
		if o.share != nil {
			o.share(o.buf[wire.LogHeader:][:n])
		}
	}
	return -1
}

// append adds a chunk, before which there is room for its header, with the time. A chunk for which the
// disk has no room is left out whole: it must not stop the command, nor spoil what comes after it.
func (l *logFile) append(chunk []byte) {
	n := len(chunk) - wire.LogHeader
	var now syscall.Timeval
	_ = syscall.Gettimeofday(&now)
	wire.PutLogHeader(chunk, n, uint64(now.Sec)*1_000_000+uint64(now.Usec))
	if l.output+n > logMax || l.size+len(chunk) > logFileMax {
		moveAside(l.fd, l.old)
		l.size, l.output = 0, 0
	}
	if err := writeAll(l.fd, string(chunk)); err != nil {
		_ = syscall.Ftruncate(l.fd, int64(l.size))
		_, _ = syscall.Seek(l.fd, int64(l.size), 0)
		return
	}
	l.size += len(chunk)
	l.output += n
}

// moveAside copies log over old and empties log.
func moveAside(log, old int) {
	_ = syscall.Ftruncate(old, 0)
	_, _ = syscall.Seek(old, 0, 0)
	_, _ = syscall.Seek(log, 0, 0)
	for {
		n, err := syscall.Sendfile(old, log, nil, logFileMax)
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
