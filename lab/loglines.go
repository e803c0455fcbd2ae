package lab

import (
	"bytes"
	"time"
)

// maxLogLine is where a line is broken: a command may never end one.
const maxLogLine = 64 << 10

// logLine is a line without its end, and when it began to be written.
type logLine struct {
	at   time.Time
	text []byte
}

// logLines puts the chunks of a log together to lines.
type logLines struct {
	r     *logReader
	queue []logLine
	part  logLine // the last one, whose end has not come
	begun bool
}

// peek reports whether there is a whole line, which is queue[0] then.
func (l *logLines) peek() (bool, error) {
	for len(l.queue) == 0 {
		c, ok, err := l.r.next()
		if !ok || err != nil {
			return false, err
		}
		l.add(c)
	}
	return true, nil
}

// take returns the first line of the queue.
func (l *logLines) take() logLine {
	first := l.queue[0]
	l.queue = l.queue[1:]
	return first
}

// rest returns the line that has not come to its end, if there is one.
func (l *logLines) rest() (logLine, bool) {
	part, begun := l.part, l.begun
	l.part, l.begun = logLine{}, false
	return part, begun
}

// add takes the lines of a chunk.
func (l *logLines) add(c logChunk) {
	for text := c.text; len(text) > 0; {
		if !l.begun {
			l.part, l.begun = logLine{at: c.at}, true
		}
		end := bytes.IndexByte(text, '\n')
		whole := end >= 0
		if !whole {
			end = len(text)
		}
		n := min(end, maxLogLine-len(l.part.text))
		l.part.text = append(l.part.text, text[:n]...)
		text = text[n:]
		if n == end && whole {
			text = text[1:]
		}
		if n == end && whole || len(l.part.text) >= maxLogLine {
			l.queue = append(l.queue, l.part)
			l.part, l.begun = logLine{}, false
		}
	}
}

// keepLast reads all that the log holds by now and keeps its last n lines that are not older than since. A
// line that has not come to its end counts as one.
func (l *logLines) keepLast(n int, since time.Time) error {
	for {
		c, ok, err := l.r.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		l.add(c)
		if len(l.queue) > 2*n+1024 {
			l.queue = append([]logLine(nil), l.queue[len(l.queue)-n:]...)
		}
	}
	if l.begun {
		n--
	}
	if n < 0 { // no line at all, not even the last
		l.rest()
	}
	l.queue = l.queue[max(len(l.queue)-max(n, 0), 0):]
	for len(l.queue) > 0 && l.queue[0].at.Before(since) {
		l.queue = l.queue[1:]
	}
	return nil
}
