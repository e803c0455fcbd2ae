package nodeinit

import "syscall"

// logMax is where a node's log is moved aside: a node keeps between one and two of these.
const logMax = 1 << 20

// output is a command's, on its way to the log.
type output struct {
	from     int // a pipe's end, without blocking
	log, old int
	buf      []byte
	size     int  // of log
	ended    bool // nobody can write any more, all is closed
}

func newOutput(from, log, old int) *output {
	_ = syscall.SetNonblock(from, true) // of this end alone: the command's writes wait as ever
	return &output{from: from, log: log, old: old, buf: make([]byte, 32<<10)}
}

// pump copies what has come to the log. Its end may be long after the command's: what that started in
// the background has the pipe, too.
func (o *output) pump() {
	if o.copy(len(o.buf)) == 0 {
		o.ended = true
		closeAll([]int{o.from, o.log, o.old})
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
		if o.size += n; o.size > logMax {
			moveAside(o.log, o.old)
			o.size = n
		}
		_ = writeAll(o.log, string(o.buf[:n])) // a full disk must not stop the command
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
