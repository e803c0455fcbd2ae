package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// isTerminal asks the kernel for f's terminal settings (TCGETS, see ioctl_tty(2)).
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// canRewrite tells whether f is a terminal on which a line can be overwritten.
func canRewrite(f *os.File, term string) bool {
	return term != "dumb" && isTerminal(f)
}

// canColor tells whether f is a terminal whose user has not refused colour (no-color.org).
func canColor(f *os.File, term, noColor string) bool {
	return noColor == "" && canRewrite(f, term)
}

// terminalWidth is f's width in columns (TIOCGWINSZ), or 80 when it does not say.
func terminalWidth(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 80
	}
	return int(size.Col)
}

// terminalHeight is f's height in lines (TIOCGWINSZ), or 24 when it does not say.
func terminalHeight(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Row == 0 {
		return 24
	}
	return int(size.Row)
}

// unbuffered has a terminal hand over each key as it is typed, without showing it; keys that send
// signals still do. restore undoes that. An error says that f is no terminal. termios(3).
func unbuffered(f *os.File) (restore func(), err error) {
	before, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil, err
	}
	now := *before
	now.Lflag &^= unix.ICANON | unix.ECHO
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, &now); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, before) }, nil
}
