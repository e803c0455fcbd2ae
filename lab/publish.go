package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

// maxPorts is what the kernel passes in one message (SCM_MAX_FD), less the sockets of the lab's tables and of forwarding.
const maxPorts = 249

// listenPorts opens the host's sockets of all published ports, which the lab init then
// serves and holds.
func (b *builder) listenPorts() error {
	for i := range b.lab.Nodes {
		n := &b.lab.Nodes[i]
		for _, p := range n.Ports {
			if err := b.listenOn(n.Name, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// listenOn opens the host's socket of one published port.
func (b *builder) listenOn(node string, p topology.Port) error {
	if len(b.ports) == maxPorts {
		return &Error{Node: node, Op: "publish port", Err: fmt.Errorf("a lab can publish %d ports", maxPorts)}
	}
	f, err := listenPort(p)
	if err != nil {
		e := &Error{Node: node, Op: "publish port", Object: portKey(p), Err: err}
		if errors.Is(err, unix.EADDRINUSE) {
			e.Err, e.Remedy = fmt.Errorf("%w: %w", ErrConflict, err), "choose another port of the host, or end what listens there"
		}
		return e
	}
	b.ports = append(b.ports, f)
	b.published = append(b.published, publishedPort(b.lab, node, p))
	return nil
}

// listenFirst opens the host's sockets of new ports before anything of a running lab is changed, as the host may refuse them. What
// has to wait for the change is left in todo.
func (c *change) listenFirst() (err error) {
	c.todo.open, err = c.listenNow(c.todo.open, c.todo.closed)
	var e *Error
	if errors.As(err, &e) && e.Remedy != "" {
		e.Remedy += "; the lab runs on as it is"
	}
	return err
}

// listenNow opens those of the host's sockets that can be had before the lab is made or changed, and returns those that have to wait
// for that. Closed are ports that it closes.
func (b *builder) listenNow(ports []openPort, closed []string) (later []openPort, err error) {
	for _, p := range ports {
		if err := b.listenOn(p.node, p.port); err != nil {
			if !comesFree(p.port, closed, b.lab.Bridges, err) {
				return nil, err
			}
			later = append(later, p)
		}
	}
	return later, nil
}

// comesFree tells whether a port that the host refuses now may be had when the lab is changed: one that the lab closes is in its
// place, or its address is one that the host gets from the lab.
func comesFree(p topology.Port, closed []string, bridges []topology.Bridge, err error) bool {
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return slices.ContainsFunc(bridges, func(b topology.Bridge) bool {
			return !b.External && slices.ContainsFunc(b.Addresses, func(a netip.Prefix) bool { return a.Addr() == p.HostAddr })
		})
	}
	return errors.Is(err, unix.EADDRINUSE) && slices.ContainsFunc(closed, func(key string) bool {
		text, protocol, _ := strings.Cut(key, "/")
		at, err := netip.ParseAddrPort(text)
		return err == nil && protocol == p.Protocol && at.Port() == p.HostPort && overlap(at.Addr(), p.HostAddr)
	})
}

// overlap tells whether sockets on two addresses are in each other's way on one port. :: is every address, of IPv4 too.
func overlap(a, b netip.Addr) bool {
	all := func(a, b netip.Addr) bool { return a.IsUnspecified() && (a.Is6() || b.Is4()) }
	return a == b || all(a, b) || all(b, a)
}

// publishedPort is a port as the lab init is told of it.
func publishedPort(l *topology.Lab, node string, p topology.Port) proto.PublishedPort {
	return proto.PublishedPort{Node: node, Port: p.Port, Protocol: p.Protocol, Key: portKey(p), Targets: targets(l, node, p.Port)}
}

// portKey tells a published port from the others of its lab.
func portKey(p topology.Port) string {
	return netip.AddrPortFrom(p.HostAddr, p.HostPort).String() + "/" + p.Protocol
}

// targets are where a port of a node may be listened on, in the order to try: its own
// addresses, then loopback.
func targets(l *topology.Lab, node string, port uint16) []netip.AddrPort {
	var out []netip.AddrPort
	add := func(e *topology.Endpoint) {
		if e.Node != node {
			return
		}
		for _, a := range e.Addresses {
			out = append(out, netip.AddrPortFrom(a.Addr(), port))
		}
	}
	for i := range l.Links {
		add(&l.Links[i].A)
		add(&l.Links[i].B)
	}
	return append(out, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port),
		netip.AddrPortFrom(netip.IPv6Loopback(), port))
}

func listenPort(p topology.Port) (*os.File, error) {
	at := netip.AddrPortFrom(p.HostAddr, p.HostPort)
	if failpoint.Enabled {
		if err := failpoint.Hit("listen", portKey(p)); err != nil {
			return nil, err
		}
	}
	if p.Protocol == "udp" {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return c.File()
	}
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	return ln.File()
}
