package rtnl

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
)

// batch bounds the requests of one datagram, so that their acknowledgements fit the
// socket's receive buffer.
const batch = 64

// Conn is a rtnetlink socket in one network namespace. It is not for concurrent use.
type Conn struct {
	fd     int
	events int // socket of the multicast groups, -1 without; apart, as a flood of events loses answers
	home   int // in a visit, the namespace that it began from; else -1
	seq    uint32
	buf    []byte
}

// Request is a message with the words for it in an error.
type Request struct {
	*nl.NetlinkRequest
	Label string // "create link web:eth0 -- lan0"
}

// Error is a request that the kernel refused.
type Error struct {
	Label  string
	Errno  syscall.Errno
	Detail string // the kernel's own words, where it has any (NETLINK_EXT_ACK)
}

func (e *Error) Error() string {
	if e.Detail != "" {
		return fmt.Sprintf("%s: %v (%s)", e.Label, e.Errno, e.Detail)
	}
	return fmt.Sprintf("%s: %v", e.Label, e.Errno)
}

func (e *Error) Unwrap() error { return e.Errno }

// Dial opens a socket in the network namespace ns, the caller's own when nil, and joins
// the multicast groups (unix.RTNLGRP_LINK ...). setns(2), netlink(7).
func Dial(ns *os.File, groups ...int) (*Conn, error) {
	c := &Conn{fd: -1, events: -1, home: -1, buf: make([]byte, 64<<10)}
	open := func() (err error) {
		if c.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE); err == nil && len(groups) > 0 {
			c.events, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		}
		return err
	}
	var err error
	if ns == nil {
		err = open()
	} else {
		err = In(ns, open)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	if err := c.setup(groups); err != nil {
		c.Close()
		return nil, fmt.Errorf("set up a netlink socket: %w", err)
	}
	return c, nil
}

func (c *Conn) setup(groups []int) error {
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	// Both are for better errors; kernels from 4.12 on have them.
	_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	if c.events < 0 {
		return nil
	}
	if err := unix.Bind(c.events, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for _, g := range groups {
		if err := unix.SetsockoptInt(c.events, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
			return err
		}
	}
	return nil
}

// In runs f on a thread that is in the network namespace ns. A thread that cannot go back
// is given up with its goroutine rather than left in a foreign namespace.
func In(ns *os.File, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		back, err := netns.Get()
		if err != nil {
			done <- err
			return
		}
		defer back.Close()
		if err := netns.Set(netns.NsHandle(ns.Fd())); err != nil {
			done <- err
			return
		}
		err = f()
		if netns.Set(back) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// Close closes the sockets.
func (c *Conn) Close() {
	for _, fd := range []int{c.fd, c.events} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// Do sends requests in order and waits for the answers to all. It returns the first
// refusal as *Error.
func (c *Conn) Do(reqs ...Request) error { return c.DoIgnoring(nil, reqs...) }

// DoIgnoring is Do, but refusals that ignore says so of are none. It may be nil.
func (c *Conn) DoIgnoring(ignore func(error) bool, reqs ...Request) error {
	return c.DoNoting(ignore, func(int) {}, reqs...)
}

// DoNoting is DoIgnoring, and done is told of each request, by its place among them, that the kernel has not refused. Those behind
// a refused one are carried out, too.
func (c *Conn) DoNoting(ignore func(error) bool, done func(i int), reqs ...Request) error {
	var first error
	for from := 0; from < len(reqs); from += batch {
		part := reqs[from:min(from+batch, len(reqs))]
		if err := c.do(ignore, func(i int) { done(from + i) }, part); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Datagram is requests as Do sends them, for another process to send. Sequence numbers are the
// sender's to give.
func Datagram(reqs ...Request) []byte {
	var out []byte
	for i := range reqs {
		reqs[i].Flags |= unix.NLM_F_ACK
		out = append(out, reqs[i].Serialize()...)
	}
	return out
}

func (c *Conn) do(ignore func(error) bool, done func(int), reqs []Request) error {
	if failpoint.Enabled {
		return c.oneByOne(ignore, done, reqs)
	}
	return c.exchange(ignore, done, reqs)
}

// oneByOne is for tests: each request is an act of its own.
func (c *Conn) oneByOne(ignore func(error) bool, done func(int), reqs []Request) error {
	var first error
	for i, r := range reqs {
		err := failpoint.Hit("netlink", r.Label)
		if errno := syscall.Errno(0); errors.As(err, &errno) {
			err = &Error{Label: r.Label, Errno: errno}
		}
		if err == nil {
			err = c.exchange(ignore, func(int) { done(i) }, []Request{r})
		}
		if err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (c *Conn) exchange(ignore func(error) bool, done func(int), reqs []Request) error {
	base := c.seq + 1
	for i := range reqs {
		c.seq++
		reqs[i].Seq = c.seq
	}
	if err := c.send(Datagram(reqs...)); err != nil {
		return err
	}
	var first error
	for left := len(reqs); left > 0; {
		err := c.receive(func(h *unix.NlMsghdr, b []byte) error {
			if h.Seq < base || h.Seq > c.seq || h.Type != unix.NLMSG_ERROR {
				return nil // an event, or a late answer to something given up
			}
			left--
			errno, detail, err := parseAck(h, b)
			if err != nil {
				return err
			}
			i := int(h.Seq - base)
			switch {
			case errno == 0 || ignore != nil && ignore(errno):
				done(i)
			case first == nil:
				first = &Error{Label: reqs[i].Label, Errno: errno, Detail: detail}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return first
}

func (c *Conn) send(b []byte) error {
	for {
		err := unix.Sendto(c.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("send to the kernel: %w", err)
		}
	}
}

// receive takes one datagram apart.
func (c *Conn) receive(each func(*unix.NlMsghdr, []byte) error) error {
	n, _, err := unix.Recvfrom(c.fd, c.buf, 0)
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("receive from the kernel: %w", err)
	}
	for b := c.buf[:n]; len(b) >= unix.NLMSG_HDRLEN; {
		h := (*unix.NlMsghdr)(unsafe.Pointer(unsafe.SliceData(b)))
		if h.Len < unix.NLMSG_HDRLEN || int(h.Len) > len(b) {
			return errors.New("malformed answer of the kernel")
		}
		if err := each(h, b[unix.NLMSG_HDRLEN:h.Len]); err != nil {
			return err
		}
		b = b[min(nlmsgAlign(int(h.Len)), len(b)):]
	}
	return nil
}

// ask sends a request that has one answer, or a refusal.
func (c *Conn) ask(req *nl.NetlinkRequest, label string, answer func([]byte) error) error {
	c.seq++
	req.Seq = c.seq
	if err := c.send(req.Serialize()); err != nil {
		return err
	}
	for answered := false; !answered; {
		err := c.receive(func(h *unix.NlMsghdr, b []byte) error {
			if h.Seq != c.seq {
				return nil
			}
			answered = true
			if h.Type != unix.NLMSG_ERROR {
				return answer(b)
			}
			errno, detail, err := parseAck(h, b)
			if err != nil {
				return err
			}
			return &Error{Label: label, Errno: errno, Detail: detail}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func nlmsgAlign(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

// parseAck reads struct nlmsgerr and the extended acknowledgement behind it.
func parseAck(h *unix.NlMsghdr, b []byte) (syscall.Errno, string, error) {
	const fixed = 4 + unix.NLMSG_HDRLEN
	if len(b) < fixed {
		return 0, "", errors.New("malformed acknowledgement of the kernel")
	}
	errno := syscall.Errno(-int32(nl.NativeEndian().Uint32(b)))
	if errno == 0 || h.Flags&unix.NLM_F_ACK_TLVS == 0 {
		return errno, "", nil
	}
	rest := b[fixed:]
	if h.Flags&unix.NLM_F_CAPPED == 0 {
		echoed := int(nl.NativeEndian().Uint32(b[4:])) - unix.NLMSG_HDRLEN
		if echoed < 0 || echoed > len(rest) {
			return errno, "", nil
		}
		rest = rest[min(nlmsgAlign(echoed), len(rest)):]
	}
	attrs, err := attributes(rest)
	if err != nil {
		return errno, "", nil //nolint:nilerr // the errno itself is what counts
	}
	for _, a := range attrs {
		if a.Attr.Type == 1 { // NLMSGERR_ATTR_MSG
			return errno, unix.ByteSliceToString(a.Value), nil
		}
	}
	return errno, "", nil
}

// Dump sends a request for a list and calls each for every entry, its header cut off. An
// interrupted dump is taken anew, up to some times; reset is called before each try.
func (c *Conn) Dump(req *nl.NetlinkRequest, reset func(), each func([]byte) error) error {
	for try := 0; ; try++ {
		reset()
		c.seq++
		req.Seq = c.seq
		req.Flags |= unix.NLM_F_DUMP | unix.NLM_F_REQUEST
		if err := c.send(req.Serialize()); err != nil {
			return err
		}
		interrupted, done := false, false
		for !done {
			err := c.receive(func(h *unix.NlMsghdr, b []byte) error {
				if h.Seq != c.seq {
					return nil
				}
				interrupted = interrupted || h.Flags&unix.NLM_F_DUMP_INTR != 0
				switch h.Type {
				case unix.NLMSG_DONE:
					done = true
					// The end tells how the list went: its errno is where an acknowledgement has its own.
					if len(b) >= 4 {
						if errno := syscall.Errno(-int32(nl.NativeEndian().Uint32(b))); errno != 0 {
							return &Error{Label: "list", Errno: errno}
						}
					}
				case unix.NLMSG_ERROR:
					done = true
					if errno, detail, err := parseAck(h, b); err != nil || errno != 0 {
						return &Error{Label: "list", Errno: errno, Detail: detail}
					}
				default:
					return each(b)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		if !interrupted {
			return nil
		}
		if try == 20 {
			return errors.New("list changed during every one of 20 tries to read it")
		}
	}
}

// Wait blocks until an event of the groups comes or the timeout in milliseconds is over,
// drops what has come, and tells whether there was any. Lost events count as one.
func (c *Conn) Wait(ms int) (bool, error) { return c.wait(ms, -1) }

// wait is Wait, which also ends when stop, another descriptor, can be read; it may be -1.
func (c *Conn) wait(ms, stop int) (bool, error) {
	p := []unix.PollFd{{Fd: int32(c.events), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(p, ms)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return false, err
		}
		break
	}
	for {
		_, _, err := unix.Recvfrom(c.events, c.buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return true, nil
		}
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			return false, err
		}
	}
}
