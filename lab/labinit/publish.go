package labinit

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/lab/proto"
)

// A published port is a socket of the host that the lab init holds: it is gone with the
// lab, needs no packet filter rule, and reaches nothing but the one port of the node.
const (
	dialTimeout = 5 * time.Second
	udpIdle     = 60 * time.Second
	udpSessions = 1024 // of one port at a time; a new client beyond that, or beyond the room, waits for an old one to end
)

// port is a published port that is served.
type port struct {
	io.Closer
	to *atomic.Pointer[proto.PublishedPort]
}

// publish serves the published ports on the host's sockets fds.
func (l *labInit) publish(ports []proto.PublishedPort, fds []int) error {
	for i, p := range ports {
		f := os.NewFile(uintptr(fds[i]), "published port")
		var served io.Closer
		var err error
		to := &atomic.Pointer[proto.PublishedPort]{}
		to.Store(&p)
		at := &place{of: l.room}
		if p.Protocol == "udp" {
			var c net.PacketConn
			if c, err = net.FilePacketConn(f); err == nil {
				u := &udpPort{c, at, &l.pieces, to, l.dialer(to, "udp", 1)}
				served = u
				go u.serve()
			}
		} else {
			var ln net.Listener
			if ln, err = net.FileListener(f); err == nil {
				t := &tcpPort{ln, at, &l.pieces, l.dialer(to, "tcp", math.MaxInt), halfOpen}
				served = t
				go t.serve()
			}
		}
		_ = f.Close()
		if err != nil {
			closeAll(fds[i+1:])
			return fmt.Errorf("publish a port of node %s: %w", p.Node, err)
		}
		l.mu.Lock()
		l.ports[p.Key] = port{served, to}
		l.mu.Unlock()
	}
	return nil
}

// measure measures the room of the ports that there are, and of so many to come.
func (l *labInit) measure(more int) error {
	l.mu.Lock()
	ports := len(l.ports) + more
	l.mu.Unlock()
	if ports == 0 {
		return nil
	}
	return l.room.measure(ports)
}

// unpublish closes ports. Connections that go through them live on.
func (l *labInit) unpublish(keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		if p, ok := l.ports[key]; ok {
			_ = p.Close()
			delete(l.ports, key)
		}
	}
}

// retarget leads ports to another node or other addresses of it, from the next connection on.
func (l *labInit) retarget(ports []proto.PublishedPort) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range ports {
		if p, ok := l.ports[ports[i].Key]; ok {
			p.to.Store(&ports[i])
		}
	}
}

// dialer connects to a published port's node, to the first of at most so many targets that answers.
func (l *labInit) dialer(to *atomic.Pointer[proto.PublishedPort], network string, targets int) func() (*inside, error) {
	return func() (*inside, error) {
		p := to.Load()
		n := l.node(p.Node)
		if n == nil {
			return nil, fmt.Errorf("no node %s", p.Node)
		}
		return dialIn(n, network, p.Targets[:min(targets, len(p.Targets))], dialTimeout)
	}
}

// dialIn connects from inside a node to the first target that answers.
func dialIn(n *node, network string, targets []netip.AddrPort, timeout time.Duration) (*inside, error) {
	var err error
	for _, t := range targets {
		var c net.Conn
		if c, err = dialFrom(n.proc.Netns, network, t, timeout); err == nil {
			return n.insides.add(c)
		}
		if !errors.Is(err, unix.ECONNREFUSED) {
			return nil, err
		}
	}
	return nil, err
}

// tcpPort is a published port of TCP.
type tcpPort struct {
	net.Listener
	place    *place
	pieces   *pieces
	dial     func() (*inside, error)
	halfOpen time.Duration
}

// Close closes the port. Connections through it live on.
func (p *tcpPort) Close() error {
	p.place.close()
	return p.Listener.Close()
}

// serve takes connections as long as there is room for them. Others are in the kernel's queue of the socket until then.
func (p *tcpPort) serve() {
	for {
		c, err := accept(p.Listener)
		if err != nil {
			return
		}
		if !p.place.take(tcpCost) {
			_ = c.Close()
			return
		}
		go func() {
			defer p.place.give(tcpCost)
			p.connect(c)
		}()
	}
}

func (p *tcpPort) connect(c net.Conn) {
	defer c.Close()
	in, err := p.dial()
	if err != nil {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // the client sees a reset, as from a closed port
		}
		return
	}
	defer in.Close()
	r := relay{pieces: p.pieces, halfOpen: p.halfOpen}
	r.run(in.Conn, c)
}

// udpSession is one client's conversation with a node.
type udpSession struct {
	*inside
	to *proto.PublishedPort // where the port led when it began
}

// udpPort is a published port of UDP.
type udpPort struct {
	net.PacketConn
	place  *place
	pieces *pieces
	to     *atomic.Pointer[proto.PublishedPort]
	dial   func() (*inside, error)
}

// Close closes the port. Who has asked may be answered no more.
func (p *udpPort) Close() error {
	p.place.close()
	return p.PacketConn.Close()
}

// serve passes datagrams on. Those of new clients are lost while there is no room.
func (p *udpPort) serve() {
	var mu sync.Mutex
	sessions := map[string]*udpSession{}
	forget := func(key string, s *udpSession) {
		mu.Lock()
		if sessions[key] == s {
			delete(sessions, key)
		}
		mu.Unlock()
		_ = s.Close()
	}
	b := make([]byte, 64<<10)
	for {
		size, from, err := p.ReadFrom(b)
		if err != nil {
			return
		}
		key := from.String()
		mu.Lock()
		s := sessions[key]
		full := len(sessions) >= udpSessions
		mu.Unlock()
		now := p.to.Load()
		if s != nil && s.to != now { // a change has led the port elsewhere
			forget(key, s)
			s, full = nil, false
		}
		if s == nil {
			if full || !p.place.try(udpCost) {
				continue
			}
			in, err := p.dial()
			if err != nil {
				p.place.give(udpCost)
				continue
			}
			s = &udpSession{in, now}
			mu.Lock()
			sessions[key] = s
			mu.Unlock()
			go func() {
				defer p.place.give(udpCost)
				defer forget(key, s)
				p.answer(s, from)
			}()
		}
		_ = s.SetReadDeadline(time.Now().Add(udpIdle))
		_, _ = s.Write(b[:size])
	}
}

// answer sends a node's answers to one client until that has sent nothing for a while.
func (p *udpPort) answer(s *udpSession, to net.Addr) {
	r, err := p.pieces.reader(s.Conn)
	for err == nil || errors.Is(err, unix.ECONNREFUSED) { // nobody listens yet; the client may try again
		err = r.next(func(b []byte) error {
			_, err := p.WriteTo(b, to)
			return err
		})
	}
}
