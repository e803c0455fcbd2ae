package lab

import (
	"errors"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// terminal relays between the caller's terminal and a pseudo-terminal of a node.
type terminal struct {
	master  *os.File
	in      *os.File
	saved   *unix.Termios
	resized chan os.Signal
	broken  chan os.Signal
	drained chan struct{}
	cut     bool // the caller's output was closed before the command's end; known once drained
}

// relay starts relaying. The caller's terminal is raw meanwhile, so that every key, Ctrl-C
// too, reaches the node's, and the sizes agree. When nobody reads the caller's output any more, cut is called.
func relay(master *os.File, o *ExecOptions, cut func()) *terminal {
	t := &terminal{master: master, in: o.Stdin, drained: make(chan struct{}), broken: make(chan os.Signal, 1)}
	// Else a write to a closed pipe ends the process, and leaves the terminal raw: os/signal.
	signal.Notify(t.broken, unix.SIGPIPE)
	if o.Stdin != nil {
		t.raw()
		t.resized = make(chan os.Signal, 1)
		signal.Notify(t.resized, unix.SIGWINCH)
		go func() {
			t.resize()
			for range t.resized {
				t.resize()
			}
		}()
		go func() { _, _ = io.Copy(master, o.Stdin) }()
	}
	go func() {
		if o.Stdout != nil {
			_, err := io.Copy(o.Stdout, master) // ends with EIO when the last process has closed it
			if t.cut = errors.Is(err, unix.EPIPE); t.cut {
				cut()
			}
		}
		close(t.drained)
	}()
	return t
}

// raw is cfmakeraw(3).
func (t *terminal) raw() {
	fd := int(t.in.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return // not a terminal
	}
	now := *old
	now.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	now.Oflag &^= unix.OPOST
	now.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	now.Cflag = now.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	if unix.IoctlSetTermios(fd, unix.TCSETS, &now) == nil {
		t.saved = old
	}
}

// terminalSize is that of the first of files that is a terminal.
func terminalSize(files ...*os.File) (rows, columns uint16) {
	for _, f := range files {
		if f == nil {
			continue
		}
		if ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			return ws.Row, ws.Col
		}
	}
	return 0, 0
}

// resize makes the node's terminal as large as the caller's is now.
func (t *terminal) resize() {
	if ws, err := unix.IoctlGetWinsize(int(t.in.Fd()), unix.TIOCGWINSZ); err == nil {
		_ = unix.IoctlSetWinsize(int(t.master.Fd()), unix.TIOCSWINSZ, ws)
	}
}

// close waits until all output is printed and gives the caller's terminal back.
func (t *terminal) close() {
	if t == nil {
		return
	}
	<-t.drained
	if t.resized != nil {
		signal.Stop(t.resized)
		close(t.resized)
	}
	if t.saved != nil {
		_ = unix.IoctlSetTermios(int(t.in.Fd()), unix.TCSETS, t.saved)
	}
	_ = t.master.Close()
	signal.Stop(t.broken)
}
