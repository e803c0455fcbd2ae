package labinit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/internal/printable"
	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab/supervise"
	"github.com/nsnet/nsnet/topology"
)

// outputMax is how much of a check's output is kept, its last.
const outputMax = 1 << 10

// checkText names a check in few words.
func checkText(r *topology.Ready) string {
	switch {
	case r == nil:
		return ""
	case r.TCP != 0:
		return "tcp " + strconv.Itoa(r.TCP)
	case r.HTTP != nil:
		return fmt.Sprintf("http port %d path %s", r.HTTP.Port, printable.Text(r.HTTP.Path))
	case r.Log != "":
		return "log " + strconv.Quote(r.Log)
	}
	return "exec " + printable.Text(strings.Join(r.Exec, " "))
}

// lookAt makes a node's check when it is due.
func (l *labInit) lookAt(n *node) {
	l.super.mu.Lock()
	defer l.super.mu.Unlock()
	now := time.Now()
	n.mu.Lock()
	paused := n.paused
	n.mu.Unlock()
	switch {
	case !n.health.Look(now):
		if n.health.State == supervise.Unhealthy && n.match != nil {
			n.health.Output = n.match.failure()
		}
	case paused:
		n.health.Postpone(now)
	default:
		run, ready := n.run, n.ready
		go func() {
			good, output := check(n, ready)
			l.event(n, func(now time.Time) []supervise.Action {
				if n.run == run && n.ready == ready {
					n.health.Result(now, good, output)
				}
				return nil
			})
		}()
	}
	l.act(n, nil)
}

// check makes a check once, and tells what was seen if that is not good.
func check(n *node, r *topology.Ready) (good bool, output string) {
	timeout := milliseconds(r.TimeoutMS)
	switch {
	case r.TCP != 0:
		c, err := connect(n, r.TCP, timeout)
		if err != nil {
			return false, err.Error()
		}
		_ = c.Close()
		return true, ""
	case r.HTTP != nil:
		return get(n, r.HTTP, timeout)
	}
	return execute(n, r.Exec, timeout)
}

// connect connects to a port of a node from inside: on its loopback, or else on one of the addresses it has by now.
func connect(n *node, port int, timeout time.Duration) (net.Conn, error) {
	to := []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)), netip.AddrPortFrom(netip.IPv6Loopback(), uint16(port))}
	c, err := dialIn(n, "tcp", to, timeout)
	if err == nil {
		return c, nil
	}
	var own []net.Addr
	if lerr := rtnl.In(n.proc.Netns, func() (err error) {
		own, err = net.InterfaceAddrs()
		return err
	}); lerr != nil {
		return nil, lerr
	}
	to = to[:0]
	for _, a := range own {
		p, perr := netip.ParsePrefix(a.String())
		if perr == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			to = append(to, netip.AddrPortFrom(p.Addr(), uint16(port)))
		}
	}
	if len(to) > 0 {
		c, err = dialIn(n, "tcp", to, timeout)
	}
	return c, err
}

// get asks a web server in a node for a page. It is HTTP 1.1 by hand: all that counts is the first line of the answer.
func get(n *node, h *topology.HTTPCheck, timeout time.Duration) (good bool, output string) {
	c, err := connect(n, h.Port, timeout)
	if err != nil {
		return false, err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(timeout))
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: nsnet\r\nAccept: */*\r\nConnection: close\r\n\r\n", h.Path, n.name); err != nil {
		return false, err.Error()
	}
	line, err := bufio.NewReader(io.LimitReader(c, outputMax)).ReadString('\n')
	if err != nil && line == "" {
		return false, "no answer: " + err.Error()
	}
	line = strings.TrimSpace(line)
	return statusFits(line, h.Status), line
}

// statusFits tells whether the first line of an answer is of HTTP with the wanted status; 0 is any that is no failure.
func statusFits(line string, want int) bool {
	proto, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if !strings.HasPrefix(proto, "HTTP/1.") || err != nil {
		return false
	}
	if want != 0 {
		return status == want
	}
	return status >= 200 && status < 400
}

// execute runs a command in a node, as nsnet exec does.
func execute(n *node, argv []string, timeout time.Duration) (good bool, output string) {
	fail := func(err error) (bool, string) { return false, err.Error() }
	ours, theirs, err := container.SocketPair()
	if err != nil {
		return fail(err)
	}
	defer theirs.Close()
	conn, err := container.NewConn(ours)
	if err != nil {
		return fail(err)
	}
	// The node's init kills a command whose client goes away.
	end := time.AfterFunc(timeout, func() { _ = conn.Close() })
	defer end.Stop()
	defer conn.Close()
	null, err := os.Open(container.Devices + "/null")
	if err != nil {
		return fail(err)
	}
	defer null.Close()
	err = n.exec(wire.Command{Argv: argv, Streams: wire.OutputPipes | wire.OneOutput}, int(theirs.Fd()), int(null.Fd()))
	if err != nil {
		return fail(err)
	}
	_ = theirs.Close()
	result := errors.New("it took longer than " + timeout.String())
	var from *os.File
	text := make(chan []byte, 1)
	for done := false; !done; {
		k, body, fds, rerr := conn.Receive()
		if rerr == nil && k == wire.Started && len(fds) == 1 && from == nil && unix.SetNonblock(fds[0], true) == nil {
			from, fds = os.NewFile(uintptr(fds[0]), "output"), nil
			defer from.Close()
			go func() { text <- last(&leftover{f: from}, outputMax) }()
		}
		closeAll(fds)
		r := wire.NewReader(body)
		switch {
		case rerr != nil:
			done = true
		case k == wire.Exited:
			done, result = true, nil
			if ws := unix.WaitStatus(r.Uint()); ws.Signaled() {
				result = fmt.Errorf("signal %d", int(ws.Signal()))
			} else if ws.ExitStatus() != 0 {
				result = fmt.Errorf("exit code %d", ws.ExitStatus())
			}
		case k == wire.Failed:
			f := wire.DecodeFailure(r)
			done, result = true, errors.New(container.Reason(&f))
		}
	}
	if result == nil {
		return true, ""
	}
	if from != nil {
		// What it has left in the background may keep the pipe open.
		_ = from.SetReadDeadline(time.Unix(1, 0))
		if b := bytes.TrimSpace(<-text); len(b) > 0 {
			return false, result.Error() + ": " + string(b)
		}
	}
	return false, result.Error()
}

// last reads to the end, and keeps so many of the last bytes.
func last(r io.Reader, most int) []byte {
	var kept []byte
	b := make([]byte, 4096)
	for {
		n, err := r.Read(b)
		if kept = append(kept, b[:n]...); len(kept) > most {
			kept = append(kept[:0], kept[len(kept)-most:]...)
		}
		if err != nil {
			return kept
		}
	}
}

// leftover reads a pipe to its end or, from a deadline on, what is in it then.
type leftover struct {
	f    *os.File
	late bool
	left int
}

func (l *leftover) Read(b []byte) (n int, err error) {
	if !l.late {
		if n, err = l.f.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
	c, err := l.f.SyscallConn()
	if err != nil {
		return 0, err
	}
	n = 0
	err = c.Control(func(fd uintptr) {
		if !l.late {
			l.late = true
			l.left, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		}
		if l.left > 0 {
			n, _ = unix.Read(int(fd), b[:min(l.left, len(b))])
		}
	})
	if l.left -= n; n <= 0 || err != nil {
		return 0, io.EOF
	}
	return n, nil
}

// hear takes a piece of the command's output. It is matched without the supervisor's mutex, for which all other nodes would wait: a long line
// takes its time. Only watch, of each node, calls it.
func (l *labInit) hear(n *node, b []byte) {
	l.super.mu.Lock()
	m := n.match
	l.super.mu.Unlock()
	if m == nil || !m.feed(b) {
		return
	}
	l.event(n, func(now time.Time) []supervise.Action {
		if n.match == m { // and the command was not started again meanwhile
			n.match = nil
			n.share(false)
			n.health.Result(now, true, "")
		}
		return nil
	})
}

// matcher looks for a line in a stream of output.
type matcher struct {
	matches func(line []byte) bool
	line    []byte // the one that has not ended

	mu   sync.Mutex
	last string // that has not matched
}

// lineMax bounds a line: what is longer is looked at in pieces.
const lineMax = 64 << 10

func newMatcher(expression string) *matcher {
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil // the topology is checked
	}
	return &matcher{matches: re.Match}
}

// feed tells whether a line that has ended by now matches.
func (m *matcher) feed(b []byte) bool {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			if m.line = append(m.line, b...); len(m.line) < lineMax {
				return false
			}
			b = nil
		} else {
			m.line, b = append(m.line, b[:i]...), b[i+1:]
		}
		line := bytes.TrimSuffix(m.line, []byte("\r"))
		if m.matches(line) {
			return true
		}
		m.mu.Lock()
		m.last = string(line[:min(len(line), outputMax)])
		m.mu.Unlock()
		m.line = m.line[:0]
	}
	return false
}

// failure says what there was instead.
func (m *matcher) failure() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == "" {
		return "the command has written nothing"
	}
	return "no line matches; the last one: " + m.last
}
