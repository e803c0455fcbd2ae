package conn

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/internal/failpoint"
)

// Socket is a connected unix stream socket, as a *net.UnixConn or an *os.File in non-blocking mode.
type Socket interface {
	io.Closer
	syscall.Conn
	SetReadDeadline(time.Time) error
}

// Conn carries messages over a socket. One goroutine may receive while another sends.
type Conn struct{ Socket }

// New takes over a socket.
func New(s Socket) *Conn { return &Conn{s} }

// Dial connects to the socket at a path. connect(2).
func Dial(path string) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	}
	if err != nil { // EAGAIN, too: more clients wait there than it has room for
		_ = unix.Close(fd)
		return nil, &os.PathError{Op: "connect", Path: path, Err: err}
	}
	return New(os.NewFile(uintptr(fd), path)), nil
}

// File is a duplicate of the socket.
func (c *Conn) File() (*os.File, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, err := -1, error(nil)
	if cerr := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return nil, cerr
	}
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

// Send writes a message with copies of fds.
func (c *Conn) Send(k wire.Kind, body []byte, fds ...int) error {
	if failpoint.Enabled {
		if err := failpoint.Hit("send", fmt.Sprintf("message %d", k)); err != nil {
			return err
		}
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var h [wire.HeaderSize]byte
	wire.PutHeader(&h, k, len(body))
	msg := append(h[:], body...)
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	for len(msg) > 0 {
		n, err := 0, error(nil)
		werr := raw.Write(func(fd uintptr) bool {
			n, err = unix.SendmsgN(int(fd), msg, oob, nil, unix.MSG_NOSIGNAL)
			return !waits(err)
		})
		if werr != nil {
			return werr
		}
		if err == unix.EINTR { //nolint:errorlint // it is of the system call itself
			continue
		}
		if err != nil {
			return os.NewSyscallError("sendmsg", err)
		}
		msg, oob = msg[n:], nil
	}
	return nil
}

// maxMessage bounds what one message may hold; a lab of many thousand nodes stays below.
const maxMessage = 256 << 20

// Receive reads a message. The descriptors are close-on-exec and the caller's to close.
func (c *Conn) Receive() (k wire.Kind, body []byte, fds []int, err error) {
	fail := func(err error) (wire.Kind, []byte, []int, error) {
		closeFDs(fds)
		return 0, nil, nil, err
	}
	var h [wire.HeaderSize]byte
	oob := make([]byte, unix.CmsgSpace(4*253))
	for got := 0; got < len(h); {
		n, oobn, flags, err := c.read(h[got:], oob)
		if err == nil && flags&unix.MSG_CTRUNC != 0 {
			// Some descriptors found no place, and there was room for them in oob.
			more, _ := rights(oob[:oobn])
			fds = append(fds, more...)
			return fail(fmt.Errorf("receive descriptors: %w", unix.EMFILE))
		}
		if err != nil {
			return fail(err)
		}
		if n == 0 && oobn == 0 {
			return fail(io.EOF)
		}
		got += n
		if oobn > 0 {
			more, err := rights(oob[:oobn])
			fds = append(fds, more...)
			if err != nil {
				return fail(err)
			}
		}
	}
	k, size := wire.Header(&h)
	if size > maxMessage {
		return fail(fmt.Errorf("message of %d bytes", size))
	}
	body = make([]byte, size)
	for got := 0; got < size; {
		n, _, _, err := c.read(body[got:], nil)
		if err != nil {
			return fail(err)
		}
		if n == 0 {
			return fail(io.ErrUnexpectedEOF)
		}
		got += n
	}
	return k, body, fds, nil
}

// read is one recvmsg(2).
func (c *Conn) read(p, oob []byte) (n, oobn, flags int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, 0, err
	}
	for {
		rerr := raw.Read(func(fd uintptr) bool {
			n, oobn, flags, _, err = unix.Recvmsg(int(fd), p, oob, unix.MSG_CMSG_CLOEXEC)
			return !waits(err)
		})
		switch {
		case rerr != nil:
			return 0, 0, 0, rerr
		case err == unix.EINTR: //nolint:errorlint // it is of the system call itself
		case err != nil:
			return 0, 0, 0, os.NewSyscallError("recvmsg", err)
		default:
			return n, oobn, flags, nil
		}
	}
}

// waits reports whether a socket has nothing yet, or no room.
func waits(err error) bool { return err == unix.EAGAIN } //nolint:errorlint // it is of the system call itself

func rights(oob []byte) ([]int, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var fds []int
	for i := range msgs {
		if r, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			fds = append(fds, r...)
		}
	}
	return fds, nil
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
