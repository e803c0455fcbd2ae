package execute

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// terminal is the caller's, as long as it is that of a command.
type terminal struct {
	master  *os.File // of the node's
	in      int      // the caller's, -1: none
	saved   *unix.Termios
	resized chan os.Signal
}

// newTerminal makes the caller's terminal raw, so that every key, Ctrl-C too, reaches the node's, and has the sizes agree.
func newTerminal(master, in *os.File) *terminal {
	t := &terminal{master: master, in: -1}
	fd, ok := descriptor(in)
	if !ok {
		return t
	}
	t.in = fd
	t.raw()
	t.resized = make(chan os.Signal, 1)
	signal.Notify(t.resized, unix.SIGWINCH)
	go func() {
		t.resize()
		for range t.resized {
			t.resize()
		}
	}()
	return t
}

// raw is cfmakeraw(3).
func (t *terminal) raw() {
	old, err := unix.IoctlGetTermios(t.in, unix.TCGETS)
	if err != nil {
		return // not a terminal
	}
	now := *old
	now.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	now.Oflag &^= unix.OPOST
	now.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	now.Cflag = now.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	if unix.IoctlSetTermios(t.in, unix.TCSETS, &now) == nil {
		t.saved = old
	}
}

// terminalSize is that of the first of files that is a terminal.
func terminalSize(files ...*os.File) (rows, columns uint16) {
	for _, f := range files {
		if fd, ok := descriptor(f); ok {
			if ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err == nil {
				return ws.Row, ws.Col
			}
		}
	}
	return 0, 0
}

// resize makes the node's terminal as large as the caller's is now.
func (t *terminal) resize() {
	master, ok := descriptor(t.master)
	if ws, err := unix.IoctlGetWinsize(t.in, unix.TIOCGWINSZ); err == nil && ok {
		_ = unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, ws)
	}
}

// restore gives the caller's terminal back.
func (t *terminal) restore() {
	if t == nil {
		return
	}
	if t.resized != nil {
		signal.Stop(t.resized)
		close(t.resized)
	}
	if t.saved != nil {
		_ = unix.IoctlSetTermios(t.in, unix.TCSETS, t.saved)
	}
}
