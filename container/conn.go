package container

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/conn"
)

// Conn carries messages of package wire.
type Conn = conn.Conn

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
	return conn.New(u), nil
}

// FromUnix makes a Conn of a connection.
func FromUnix(u *net.UnixConn) *Conn { return conn.New(u) }

// SocketPair makes two connected stream sockets, close-on-exec. socketpair(2).
func SocketPair() (a, b *os.File, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("create a socket pair: %w", err)
	}
	return os.NewFile(uintptr(p[0]), "socket"), os.NewFile(uintptr(p[1]), "socket"), nil
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
