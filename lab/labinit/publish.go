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
	udpSessions = 1024 // of one port at a time; a new client beyond that waits for an old one to end
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
		if p.Protocol == "udp" {
			var c net.PacketConn
			if c, err = net.FilePacketConn(f); err == nil {
				served = c
				go relayUDP(c, to, l.dialer(to, "udp", 1))
			}
		} else {
			var ln net.Listener
			if ln, err = net.FileListener(f); err == nil {
				served = ln
				go relayTCP(ln, l.dialer(to, "tcp", math.MaxInt))
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

func relayTCP(ln net.Listener, dial func() (*inside, error)) {
	for {
		c, err := accept(ln)
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			in, err := dial()
			if err != nil {
				if t, ok := c.(*net.TCPConn); ok {
					_ = t.SetLinger(0) // the client sees a reset, as from a closed port
				}
				return
			}
			defer in.Close()
			var wg sync.WaitGroup
			wg.Add(2)
			go half(&wg, in.Conn, c)
			go half(&wg, c, in.Conn)
			wg.Wait()
		}()
	}
}

// half copies one direction and passes its end on. Where that is the node's, all is over: a client may be idle, and not know for
// long.
func half(wg *sync.WaitGroup, to, from net.Conn) {
	defer wg.Done()
	_, err := io.Copy(to, from)
	if errors.Is(err, net.ErrClosed) {
		_ = to.Close()
		return
	}
	if t, ok := to.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
}

// udpSession is one client's conversation with a node.
type udpSession struct {
	*inside
	to *proto.PublishedPort // where the port led when it began
}

func relayUDP(c net.PacketConn, to *atomic.Pointer[proto.PublishedPort], dial func() (*inside, error)) {
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
		size, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		key := from.String()
		mu.Lock()
		s := sessions[key]
		full := len(sessions) >= udpSessions
		mu.Unlock()
		now := to.Load()
		if s != nil && s.to != now { // a change has led the port elsewhere
			forget(key, s)
			s, full = nil, false
		}
		if s == nil {
			if full {
				continue
			}
			in, err := dial()
			if err != nil {
				continue
			}
			s = &udpSession{in, now}
			mu.Lock()
			sessions[key] = s
			mu.Unlock()
			go func() {
				answerUDP(c, s, from)
				forget(key, s)
			}()
		}
		_ = s.SetReadDeadline(time.Now().Add(udpIdle))
		_, _ = s.Write(b[:size])
	}
}

// answerUDP sends a node's answers to one client until none has come for a while.
func answerUDP(c net.PacketConn, s net.Conn, to net.Addr) {
	b := make([]byte, 64<<10)
	for {
		size, err := s.Read(b)
		if errors.Is(err, unix.ECONNREFUSED) {
			continue // nobody listens yet; the client may try again
		}
		if err != nil {
			return
		}
		if _, err := c.WriteTo(b[:size], to); err != nil {
			return
		}
	}
}
