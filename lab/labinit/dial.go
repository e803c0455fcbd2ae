package labinit

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// dialFrom connects from another network namespace. Only to make the socket takes a thread there: with one for as long as each connection
// takes, clients of a server that accepts none could use up what threads the Go runtime allows, 10,000, and end the lab.
func dialFrom(netns *os.File, network string, to netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	c, err := dialSocket(netns, network == "udp", to, timeout)
	if err == nil {
		return c, nil
	}
	var addr net.Addr = net.TCPAddrFromAddrPort(to)
	if network == "udp" {
		addr = net.UDPAddrFromAddrPort(to)
	}
	return nil, &net.OpError{Op: "dial", Net: network, Addr: addr, Err: err}
}

// dialSocket is socket(2), and connect(2) without waiting, in the namespace, and then waits with the runtime's poller.
func dialSocket(netns *os.File, datagrams bool, to netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	fd, kind := -1, unix.SOCK_STREAM
	if datagrams {
		kind = unix.SOCK_DGRAM
	}
	family, at := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port())})
	if to.Addr().Is4() {
		family, at = unix.AF_INET, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}
	}
	err := rtnl.In(netns, func() (err error) {
		fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return nil, err
	}
	err = unix.Connect(fd, at)
	f := os.NewFile(uintptr(fd), "socket") // the poller takes one that has not begun to connect for ready
	defer f.Close()
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return nil, os.NewSyscallError("connect", err)
	}
	if err := connected(f, timeout); err != nil {
		return nil, err
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	if t, ok := c.(*net.TCPConn); ok {
		if t.LocalAddr().String() == t.RemoteAddr().String() { // by a port of one's own, where nobody listens: tcp_rcv_state_process
			_ = t.Close()
			return nil, os.NewSyscallError("connect", unix.ECONNREFUSED)
		}
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true})
	}
	return c, nil
}

// connected waits until a connection is there, or is not to be had.
func connected(f *os.File, timeout time.Duration) error {
	if err := f.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Write(func(fd uintptr) bool {
		errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && errno != 0 {
			err = unix.Errno(errno)
		}
		if err != nil {
			failed = os.NewSyscallError("connect", err)
			return true
		}
		_, err = unix.Getpeername(int(fd))
		return err == nil // else ENOTCONN: not yet
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	if err != nil {
		return err
	}
	return failed
}
