package announce

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/rtnl"
)

// Interface is what neighbours are told of one: its hardware address, and the addresses that are there.
type Interface struct {
	Name  string
	MAC   string
	Addrs []netip.Addr
}

// Closer takes sockets that are done with. Close waits until all are closed.
type Closer struct {
	fds  chan int
	done chan struct{}
}

// waiting is how many sockets may wait to be closed. Who has one more waits, too.
const waiting = 64

// NewCloser starts what closes sockets while others go on.
func NewCloser() *Closer {
	c := &Closer{make(chan int, waiting), make(chan struct{})}
	go func() {
		defer close(c.done)
		for fd := range c.fds {
			_ = unix.Close(fd)
		}
	}()
	return c
}

// End takes no more sockets. It does not wait for those that are still to be closed.
func (c *Closer) End() { close(c.fds) }

// Close takes no more sockets, and waits until all are closed.
func (c *Closer) Close() {
	c.End()
	<-c.done
}

// Send tells the neighbours of interfaces in the network namespace that the calling thread is in, by a connection in the
// same. An interface that has gone or is down has none. A kernel without packet sockets tells nobody, which is no error. packet(7).
func Send(c *rtnl.Conn, list []Interface, done *Closer) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // of protocol 0 it receives nothing
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	defer func() { done.fds <- fd }()
	for i := range list {
		if err := send(fd, c, &list[i]); err != nil {
			return fmt.Errorf("announce %s: %w", list[i].Name, err)
		}
	}
	return nil
}

func send(fd int, c *rtnl.Conn, in *Interface) error {
	mac, err := net.ParseMAC(in.MAC)
	if err != nil {
		return err
	}
	l, err := c.LinkNamed(in.Name)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return err
	}
	router, err := c.Forwards(l.Index)
	if err != nil {
		return err
	}
	if err := failpoint.Hit("announce", in.Name); err != nil {
		return err
	}
	for _, a := range in.Addrs {
		f := arp
		if a.Is6() {
			f = func(mac net.HardwareAddr, a netip.Addr) []byte { return advertisement(mac, a, router) }
		}
		err := unix.Sendto(fd, f(mac, a), 0, &unix.SockaddrLinklayer{Ifindex: l.Index})
		if errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENOBUFS) { // a full queue drops packets, too
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
