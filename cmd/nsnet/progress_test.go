package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/lab"
)

func TestProgressRewritesOneLine(t *testing.T) {
	var b strings.Builder
	clock := time.Unix(0, 0)
	p := &progress{w: &b, title: "up demo", live: true, width: 80, now: func() time.Time { return clock }}
	p.start("3 nodes")
	p.Step(lab.Step{Name: "create nodes", Done: 0, Total: 3})
	p.Step(lab.Step{Name: "create nodes", Done: 1, Total: 3}) // too soon
	clock = clock.Add(progressInterval)
	p.Step(lab.Step{Name: "create nodes", Done: 2, Total: 3})
	p.Step(lab.Step{Name: "create nodes", Done: 3, Total: 3}) // the last count always shows
	p.Step(lab.Step{Name: "evil\r\x1b[2J"})
	p.Done()
	p.Done()
	want := ""
	for _, line := range []string{
		"up demo", "up demo: create nodes 0/3", "up demo: create nodes 2/3", "up demo: create nodes 3/3", `up demo: evil\r\x1b[2J`,
	} {
		want += "\r" + line + "\x1b[K"
	}
	equal(t, "progress", fmt.Sprintf("%q", b.String()), fmt.Sprintf("%q", want+"\r\x1b[K"))
}

func TestProgressIsNotWiderThanTheTerminal(t *testing.T) {
	var b strings.Builder
	p := &progress{w: &b, title: "up demo", live: true, width: 10, now: time.Now}
	p.Step(lab.Step{Name: "create nodes", Done: 1, Total: 3})
	equal(t, "progress", b.String(), "\rup demo:…\x1b[K")
}

func TestProgressElsewhereIsOneLine(t *testing.T) {
	_, stderr := captured(t, func(std stdio) {
		p := newProgress(std.err, "up de\x1bmo", "3 nodes")
		p.Step(lab.Step{Name: "create nodes", Done: 1, Total: 3})
		p.Done()
		newProgress(std.err, "down demo", "").Done()
	})
	equal(t, "progress", stderr, "up de\\x1bmo: 3 nodes\ndown demo\n")
}

func TestTerminal(t *testing.T) {
	tty := openTerminal(t, 132)
	equal(t, "terminal", isTerminal(tty), true)
	equal(t, "width", terminalWidth(tty), 132)
	equal(t, "rewrite", canRewrite(tty, "xterm"), true)
	equal(t, "rewrite on a dumb terminal", canRewrite(tty, "dumb"), false)
	equal(t, "color", canColor(tty, "xterm", ""), true)
	equal(t, "color on a dumb terminal", canColor(tty, "dumb", ""), false)
	equal(t, "color with NO_COLOR", canColor(tty, "xterm", "1"), false)

	file := newFile(t, t.TempDir(), "file")
	defer file.Close()
	equal(t, "a file is a terminal", isTerminal(file), false)
	equal(t, "width of a file", terminalWidth(file), 80)
	equal(t, "color in a file", canColor(file, "xterm", ""), false)
}

func TestProgressOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	p := newProgress(openTerminal(t, 100), "up demo", "3 nodes")
	equal(t, "live", p.live, true)
	equal(t, "width", p.width, 100)
	t.Setenv("TERM", "dumb")
	equal(t, "live on a dumb terminal", newProgress(openTerminal(t, 100), "up demo", "").live, false)
}

// openTerminal returns the slave of a new pseudo-terminal, see pty(7).
func openTerminal(t *testing.T, width uint16) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width}); err != nil {
		t.Fatal(err)
	}
	return slave
}
