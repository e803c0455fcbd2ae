package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/printable"
	"github.com/nsnet/nsnet/lab/proto"
)

// LogsOptions say what Logs prints.
type LogsOptions struct {
	Lab        string
	Node       string // empty: all nodes of the lab that have a log, each line with its node's name before it
	Follow     bool   // go on until ctx or the commands end
	Tail       int    // the last lines of each node alone; negative: all
	Since      time.Time
	Timestamps bool // when each line was written, in RFC 3339
	// Terminal tells that Out is one. Lines of several nodes have nothing then by which one could overwrite another's: all but colours is escaped.
	Terminal bool
	Out      io.Writer
}

// Logs prints what commands have written, of each the last MiB at least. A single node's output is
// passed on as it is, unless lines are to be picked or marked; the lines of several are in the order in
// which they were written.
func Logs(ctx context.Context, o LogsOptions) error {
	l := &logs{o: o}
	defer l.close()
	if err := l.open(); err != nil {
		return err
	}
	if err := l.begin(); err != nil {
		return err
	}
	for o.Follow && ctx.Err() == nil {
		// What a command wrote last may have come since the look at it: once more, then.
		over := l.ended(ctx)
		wrote, err := l.more()
		if err != nil {
			return err
		}
		if over && !wrote {
			break
		}
		if !over && !wrote {
			if err := waitEvent(l.watch); err != nil {
				return &Error{Lab: o.Lab, Op: "wait for more of its logs", Err: err}
			}
		}
	}
	return l.finish()
}

// logs is one call of Logs.
type logs struct {
	o     LogsOptions
	nodes []*nodeLog
	watch int // inotify; 0: none
	width int // of the longest name
}

// nodeLog is the log of one node.
type nodeLog struct {
	name string
	*logLines
}

// open opens the logs that are meant.
func (l *logs) open() error {
	names := []string{l.o.Node}
	if l.o.Node == "" {
		t, err := readLab(dirOf(l.o.Lab))
		if err != nil {
			return notFound(l.o.Lab, err)
		}
		names = nil
		for i := range t.Nodes {
			names = append(names, t.Nodes[i].Name)
		}
	}
	var err error
	if l.o.Follow {
		if l.watch, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
			return &Error{Lab: l.o.Lab, Op: "watch its logs", Err: err}
		}
	}
	for _, name := range names {
		path := filepath.Join(dirOf(l.o.Lab), name+".log")
		if l.o.Follow {
			_, err = unix.InotifyAddWatch(l.watch, path, unix.IN_MODIFY|unix.IN_DELETE_SELF|unix.IN_CLOSE_WRITE|unix.IN_ATTRIB)
		}
		var r *logReader
		if err == nil {
			r, err = openLog(path)
		}
		switch {
		case err == nil:
			l.nodes = append(l.nodes, &nodeLog{name, &logLines{r: r}})
			l.width = max(l.width, len(name))
		case !errors.Is(err, fs.ErrNotExist):
			return &Error{Lab: l.o.Lab, Node: name, Op: "read its log", Err: err}
		case l.o.Node != "":
			return &Error{Lab: l.o.Lab, Node: name, Err: ErrNotFound, Op: "logs", Remedy: "it is an idle node: only a node with a command has a log"}
		}
	}
	return nil
}

// notFound is the error of a lab whose record cannot be read.
func notFound(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return noLab(name)
	}
	return &Error{Lab: name, Op: "read its record", Err: err}
}

func (l *logs) close() {
	for _, n := range l.nodes {
		n.r.close()
	}
	if l.watch != 0 {
		_ = unix.Close(l.watch)
	}
}

// raw reports whether output is passed on as it is.
func (l *logs) raw() bool {
	return l.o.Node != "" && l.o.Tail < 0 && l.o.Since.IsZero() && !l.o.Timestamps
}

// begin prints what the logs hold by now.
func (l *logs) begin() error {
	if l.raw() {
		_, err := l.more()
		return err
	}
	if l.o.Tail >= 0 {
		for _, n := range l.nodes {
			if err := n.keepLast(l.o.Tail, l.o.Since); err != nil {
				return l.wrap(n, err)
			}
		}
	}
	for {
		var first *nodeLog
		for _, n := range l.nodes {
			ok, err := n.peek()
			if err != nil {
				return l.wrap(n, err)
			}
			if ok && (first == nil || n.queue[0].at.Before(first.queue[0].at)) {
				first = n
			}
		}
		if first == nil {
			return nil
		}
		if err := l.print(first, first.take()); err != nil {
			return err
		}
	}
}

// more prints what has come since, and reports whether that was anything.
func (l *logs) more() (wrote bool, err error) {
	for _, n := range l.nodes {
		for {
			if l.raw() {
				c, ok, err := n.r.next()
				if err != nil {
					return wrote, l.wrap(n, err)
				}
				if !ok {
					break
				}
				if _, err := l.o.Out.Write(c.text); err != nil {
					return wrote, err
				}
			} else {
				ok, err := n.peek()
				if err != nil {
					return wrote, l.wrap(n, err)
				}
				if !ok {
					break
				}
				if err := l.print(n, n.take()); err != nil {
					return wrote, err
				}
			}
			wrote = true
		}
	}
	return wrote, nil
}

// finish prints lines that have not come to their end.
func (l *logs) finish() error {
	for _, n := range l.nodes {
		if line, ok := n.rest(); ok {
			if err := l.print(n, line); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *logs) wrap(n *nodeLog, err error) error {
	return &Error{Lab: l.o.Lab, Node: n.name, Op: "read its log", Err: err}
}

// print prints a line, unless it is too old, in one write.
func (l *logs) print(n *nodeLog, line logLine) error {
	if line.at.Before(l.o.Since) && !line.at.IsZero() {
		return nil
	}
	var b strings.Builder
	if l.o.Node == "" {
		fmt.Fprintf(&b, "%-*s | ", l.width, n.name)
	}
	if l.o.Timestamps && !line.at.IsZero() {
		b.WriteString(line.at.UTC().Format("2006-01-02T15:04:05.000000Z") + " ")
	}
	if l.o.Terminal && l.o.Node == "" {
		b.WriteString(printable.Colored(strings.TrimSuffix(string(line.text), "\r")))
	} else {
		b.Write(line.text)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(l.o.Out, b.String())
	return err
}

// ended reports whether no more output is to come.
func (l *logs) ended(ctx context.Context) bool {
	ctx, done := whileAnswering(ctx, l.o.Lab)
	defer done()
	st, err := askState(ctx, l.o.Lab, proto.StatusRequest{Node: l.o.Node})
	if errors.Is(err, ErrNotAnswering) {
		return false // commands write their logs without it
	}
	if err != nil {
		return true
	}
	states := statesByName(st)
	for _, n := range l.nodes {
		s := states[n.name]
		if s == nil {
			continue
		}
		switch s.State {
		case StateRunning, StateStarting, StateWaiting, StateRestarting, StateStopping:
			return false
		}
	}
	return true
}

// waitEvent waits for a change of the log, or a second: the end of a command that had
// closed its output before is no event of the file.
func waitEvent(fd int) error {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(p, 1000); err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	b := make([]byte, 4096)
	for {
		if n, err := unix.Read(fd, b); err != nil || n <= 0 {
			return nil //nolint:nilerr // EAGAIN: all events are read
		}
	}
}
