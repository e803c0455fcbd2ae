package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nsnet/nsnet/lab"
)

// progressInterval is the least time between two counts of one step: a terminal that is
// slow, or far away, must not slow a lab down.
const progressInterval = 50 * time.Millisecond

// progress tells how far a command is: on a terminal in one line that is rewritten,
// elsewhere in the first line alone.
type progress struct {
	w      io.Writer
	title  string // "up demo"
	live   bool   // rewrite one line
	width  int
	now    func() time.Time
	step   string
	last   time.Time
	onLine bool // the terminal's cursor is behind a line of ours
}

// newProgress begins the progress of what title names; detail is added where the line
// will not be rewritten.
func newProgress(f *os.File, title, detail string) *progress {
	p := &progress{w: f, title: plain(title), live: canRewrite(f, os.Getenv("TERM")), now: time.Now}
	if p.live {
		p.width = terminalWidth(f)
	}
	p.start(detail)
	return p
}

func (p *progress) start(detail string) {
	switch {
	case p.live:
		p.rewrite(p.title)
	case detail != "":
		say(p.w, "%s: %s\n", p.title, plain(detail))
	default:
		say(p.w, "%s\n", p.title)
	}
}

// Step shows a step, unless the same step was shown a moment ago.
func (p *progress) Step(s lab.Step) {
	if !p.live {
		return
	}
	now := p.now()
	if s.Name == p.step && s.Done < s.Total && now.Sub(p.last) < progressInterval {
		return
	}
	p.step, p.last = s.Name, now
	text := p.title + ": " + plain(s.Name)
	if s.Total > 0 {
		text += fmt.Sprintf(" %d/%d", s.Done, s.Total)
	}
	p.rewrite(text)
}

// Done takes the line away, so that what is printed next begins on an empty one.
func (p *progress) Done() {
	if p.onLine {
		say(p.w, "\r\x1b[K")
		p.onLine = false
	}
}

// Tell prints text above the line.
func (p *progress) Tell(text string) {
	p.Done()
	say(p.w, "%s", text)
}

func (p *progress) rewrite(text string) {
	// The last column stays free: some terminals wrap when it is written to.
	say(p.w, "\r%s\x1b[K", shorten(text, max(p.width-1, 1)))
	p.onLine = true
}
