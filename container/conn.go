package container

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/internal/failpoint"
)

// Conn carries wire messages over a stream socket. One goroutine may receive while
// another sends.
type Conn struct{ c *net.UnixConn }

// NewConn takes over the connected unix stream socket f.
func NewConn(f *os.File) (*Conn, error) {
	c, err := net.FileConn(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("use socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("use socket: not a unix socket but %T", c)
	}
	return &Conn{u}, nil
}

// FromUnix makes a Conn of a connection.
func FromUnix(u *net.UnixConn) *Conn { return &Conn{u} }

// SocketPair makes two connected stream sockets, close-on-exec. socketpair(2).
func SocketPair() (a, b *os.File, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("create a socket pair: %w", err)
	}
	return os.NewFile(uintptr(p[0]), "socket"), os.NewFile(uintptr(p[1]), "socket"), nil
}

// Send writes a message with copies of fds.
func (c *Conn) Send(k wire.Kind, body []byte, fds ...int) error {
	if failpoint.Enabled {
		if err := failpoint.Hit("send", fmt.Sprintf("message %d", k)); err != nil {
			return err
		}
	}
	var h [wire.HeaderSize]byte
	wire.PutHeader(&h, k, len(body))
	msg := append(h[:], body...)
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	n, _, err := c.c.WriteMsgUnix(msg, oob, nil)
	if err == nil && n < len(msg) {
		_, err = c.c.Write(msg[n:])
	}
	return err
}

// maxMessage bounds what one message may hold; a lab of many thousand nodes stays below.
const maxMessage = 256 << 20

// Receive reads a message. The descriptors are close-on-exec and the caller's to close.
func (c *Conn) Receive() (k wire.Kind, body []byte, fds []int, err error) {
	var h [wire.HeaderSize]byte
	oob := make([]byte, unix.CmsgSpace(4*253))
	for got := 0; got < len(h); {
		n, oobn, flags, _, err := c.c.ReadMsgUnix(h[got:], oob)
		if err == nil && flags&unix.MSG_CTRUNC != 0 {
			// Some descriptors found no place, and there was room for them in oob.
			more, _ := rights(oob[:oobn])
			closeFDs(append(fds, more...))
			return 0, nil, nil, fmt.Errorf("receive descriptors: %w", unix.EMFILE)
		}
		if err != nil || (n == 0 && oobn == 0) {
			closeFDs(fds)
			if err == nil {
				err = io.EOF
			}
			return 0, nil, nil, err
		}
		got += n
		if oobn > 0 {
			more, err := rights(oob[:oobn])
			fds = append(fds, more...)
			if err != nil {
				closeFDs(fds)
				return 0, nil, nil, err
			}
		}
	}
	k, size := wire.Header(&h)
	if size > maxMessage {
		closeFDs(fds)
		return 0, nil, nil, fmt.Errorf("message of %d bytes", size)
	}
	body = make([]byte, size)
	if _, err := io.ReadFull(c.c, body); err != nil {
		closeFDs(fds)
		return 0, nil, nil, err
	}
	return k, body, fds, nil
}

// Close closes the socket.
func (c *Conn) Close() error { return c.c.Close() }

// File is a duplicate of the socket.
func (c *Conn) File() (*os.File, error) { return c.c.File() }

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
		_ = syscall.Close(fd)
	}
}
