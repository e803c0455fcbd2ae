package execute

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/wire"
)

// relay passes on what goes in and out of a command. The caller's own files stay here: whatever a command leaves behind
// would keep them, and read what is typed next, or hold the pipe that somebody waits for the end of. What the node does to its ends
// of the pipes is no matter: nothing here waits for them but as the command runs, and what is read after its end
// is bounded by what was there then.
type relay struct {
	o      *Options
	wanted wire.Streams
	input  *os.File      // handed over as it is
	own    [3]*os.File   // the command's ends of the pipes, where they are made here
	ends   []*os.File    // ours, in the order of wire.Streams
	cut    chan struct{} // closed when nobody reads what a terminal shows any more

	terminal *terminal
	stop     [2]int // a pipe whose end ends the reading of standard input, made with the first need
	outputs  sync.WaitGroup
	ended    atomic.Bool // the command
	mu       sync.Mutex
	err      error // the first of writing to the caller's files
}

// newRelay decides what becomes of each stream. Older makes the pipes here, for a lab whose nodes' inits make none.
func newRelay(o *Options, older bool) (*relay, error) {
	r := &relay{o: o, cut: make(chan struct{}), stop: [2]int{-1, -1}}
	if o.TTY {
		return r, nil
	}
	r.wanted = wire.OutputPipes
	if sameFile(o.Stdout, o.Stderr) {
		r.wanted |= wire.OneOutput // what is written to both stays in order
	}
	switch {
	case o.Stdin == nil:
		null, err := os.Open(os.DevNull)
		if err != nil {
			return nil, err
		}
		r.input = null
	case harmless(o.Stdin):
		r.input = o.Stdin
	default:
		r.wanted |= wire.InputPipe
	}
	if older {
		if err := r.makePipes(); err != nil {
			r.close()
			return nil, err
		}
	}
	return r, nil
}

// harmless reports whether a command may have a file as its standard input: a regular one that is open for
// reading, and that everybody may read, so that /dev/stdin can be opened, and nobody write, so that it cannot be opened for that.
func harmless(f *os.File) bool {
	fd, ok := descriptor(f)
	if !ok {
		return false
	}
	var st unix.Stat_t
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return err == nil && flags&(unix.O_ACCMODE|unix.O_PATH) == unix.O_RDONLY && unix.Fstat(fd, &st) == nil &&
		st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mode&0o006 == 0o004
}

// sameFile reports whether two files are one, as where one was redirected to the other.
func sameFile(a, b *os.File) bool {
	x, okx := descriptor(a)
	y, oky := descriptor(b)
	if !okx || !oky {
		return okx == oky
	}
	var s, t unix.Stat_t
	return unix.Fstat(x, &s) == nil && unix.Fstat(y, &t) == nil && s.Dev == t.Dev && s.Ino == t.Ino && s.Rdev == t.Rdev
}

// descriptor is a file's, which stays in the mode it is in: (*os.File).Fd makes it a blocking one. False: there is none.
func descriptor(f *os.File) (fd int, ok bool) {
	if f == nil {
		return -1, false
	}
	c, err := f.SyscallConn()
	if err != nil {
		return -1, false
	}
	err = c.Control(func(n uintptr) { fd = int(n) })
	return fd, err == nil
}

// makePipes makes the pipes that a newer init would.
func (r *relay) makePipes() error {
	wanted := r.wanted
	r.wanted = 0
	pipe := func(i, ours int) error {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return err
		}
		if err := unix.SetNonblock(p[ours], true); err != nil {
			return err
		}
		r.own[i] = os.NewFile(uintptr(p[1-ours]), "pipe")
		r.ends = append(r.ends, os.NewFile(uintptr(p[ours]), "pipe"))
		return nil
	}
	if wanted&wire.InputPipe != 0 {
		if err := pipe(0, 1); err != nil {
			return err
		}
	}
	if err := pipe(1, 0); err != nil {
		return err
	}
	r.own[2] = r.own[1]
	if wanted&wire.OneOutput != 0 {
		return nil
	}
	return pipe(2, 0)
}

// given are the descriptors that go with the request.
func (r *relay) given() []int {
	var fds []int
	files := []*os.File{r.input}
	if r.own[1] != nil {
		files = r.own[:]
		if r.own[0] == nil {
			files = []*os.File{r.input, r.own[1], r.own[2]}
		}
	}
	for _, f := range files {
		if fd, ok := descriptor(f); ok {
			fds = append(fds, fd)
		}
	}
	return fds
}

// start begins to relay, with the ends that came with the news of the command.
func (r *relay) start(fds []int) error {
	for _, fd := range fds {
		if err := unix.SetNonblock(fd, true); err != nil {
			closeFDs(fds)
			return err
		}
	}
	for _, fd := range fds {
		r.ends = append(r.ends, os.NewFile(uintptr(fd), "stream"))
	}
	r.closeOwn()
	if r.o.TTY {
		if len(r.ends) != 1 {
			return errors.New("no terminal came")
		}
		r.terminal = newTerminal(r.ends[0], r.o.Stdin)
		r.send(r.ends[0], false)
		r.show(r.ends[0], r.o.Stdout)
		return nil
	}
	ends := r.ends
	if r.input == nil && len(ends) > 0 {
		r.send(ends[0], true)
		ends = ends[1:]
	}
	for i, to := range []*os.File{r.o.Stdout, r.o.Stderr} {
		if i < len(ends) {
			r.show(ends[i], to)
		}
	}
	return nil
}

// send passes the caller's input on until its end, and then closes the other one if that is an end for who reads there, too.
func (r *relay) send(to *os.File, closing bool) {
	from, ok := descriptor(r.o.Stdin)
	if !ok || unix.Pipe2(r.stop[:], unix.O_CLOEXEC) != nil {
		if closing {
			_ = to.Close()
		}
		return
	}
	stop := r.stop[0]
	go func() {
		defer unix.Close(stop)
		buf := make([]byte, relaySize)
		for {
			wait := []unix.PollFd{{Fd: int32(from), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
			if _, err := unix.Poll(wait, -1); errors.Is(err, unix.EINTR) {
				continue
			}
			if wait[1].Revents != 0 {
				return
			}
			n, err := unix.Read(from, buf)
			if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
				continue
			}
			if n > 0 {
				_, err = to.Write(buf[:n])
			}
			if err != nil || n <= 0 {
				if closing {
					_ = to.Close()
				}
				return
			}
		}
	}()
}

// show passes a command's output on until its end.
func (r *relay) show(from, to *os.File) {
	r.outputs.Go(func() {
		err := (&pump{from: from, to: to, ended: &r.ended}).run()
		_ = from.Close() // a command that writes on gets SIGPIPE, as its reader would have given it
		if r.o.TTY && errors.Is(err, unix.EPIPE) {
			close(r.cut)
		}
		if err != nil && !errors.Is(err, unix.EPIPE) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.err == nil {
				r.err = err
			}
		}
	})
}

// drain returns when all that a command that has ended has written is passed on, and the first error of writing that.
func (r *relay) drain() error {
	r.ended.Store(true)
	for _, f := range r.ends {
		_ = f.SetReadDeadline(time.Unix(1, 0))
	}
	r.outputs.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// close gives the caller's terminal back, and ends what still relays. A write that its reader does not let end is left behind.
func (r *relay) close() {
	r.terminal.restore()
	for _, f := range r.ends {
		go f.Close() // returns when nobody uses it any more, as who is held up by a reader
	}
	if r.stop[1] >= 0 {
		_ = unix.Close(r.stop[1])
	}
	if r.input != nil && r.input != r.o.Stdin {
		_ = r.input.Close()
	}
	r.closeOwn()
}

func (r *relay) closeOwn() {
	for i, f := range r.own {
		if f != nil && (i != 2 || f != r.own[1]) {
			_ = f.Close()
		}
		r.own[i] = nil
	}
}
