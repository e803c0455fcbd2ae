package labinit

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/lab/proto"
)

// empties waits until so much of a room is taken.
func empties(t *testing.T, r *room, want int) {
	t.Helper()
	eventually(t, "the room is as it should be", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.used == want
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// However many clients one port has, there is room for others'.
func TestRoomLeavesSomeToOthers(t *testing.T) {
	t.Parallel()
	r := newRoom(60)
	var ports [3]place
	for i := range ports {
		ports[i].of = r
		for ports[i].try(2) {
		}
	}
	if ports[0].used != 30 || ports[1].used != 16 || ports[2].used != 8 {
		t.Errorf("they have %d, %d and %d of 60", ports[0].used, ports[1].used, ports[2].used)
	}
	got := make(chan bool)
	go func() { got <- ports[0].take(2) }()
	for range 7 {
		ports[0].give(2)
	}
	if !<-got {
		t.Error("none for who has waited")
	}
	go func() { got <- ports[1].take(100) }()
	ports[1].close()
	if <-got {
		t.Error("a closed port has taken some")
	}
}

// The room grows and shrinks with what else the process holds, and a process without descriptors still serves one client.
func TestRoomIsMeasured(t *testing.T) {
	t.Parallel()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	r := newRoom(0)
	if err := r.measure(1); err != nil || r.size <= 0 || r.size > mostRoom || uint64(r.size) > limit.Cur/2 {
		t.Errorf("room for %d descriptors of %d, error %v", r.size, limit.Cur, err)
	}
	if err := r.measure(1 << 30); err != nil || r.size != 2*tcpCost {
		t.Errorf("where none is left: %d, error %v", r.size, err)
	}
}

// echo is a server that sends back what it gets, and counts its clients.
func echo(t *testing.T) (address string, clients *atomic.Int32) {
	t.Helper()
	clients = new(atomic.Int32)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			clients.Add(1)
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return ln.Addr().String(), clients
}

// publish serves a port that leads to a server.
func publish(t *testing.T, r *room, halfOpen time.Duration, server string) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tcpPort{ln, &place{of: r}, &pieces{}, func() (*inside, error) {
		c, err := net.Dial("tcp", server)
		if err != nil {
			return nil, err
		}
		return (&insides{}).add(c)
	}, halfOpen}
	t.Cleanup(func() { _ = p.Close() })
	go p.serve()
	return ln.Addr().String()
}

func dialTCP(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c.(*net.TCPConn)
}

// echoes tells whether a server answers over a connection.
func echoes(t *testing.T, c net.Conn) {
	t.Helper()
	b := []byte{'x'}
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
}

// Clients beyond what there is room for wait, and are served when others go; meanwhile another port has room.
func TestClientsWaitForRoom(t *testing.T) {
	t.Parallel()
	server, served := echo(t)
	r := newRoom(6 * tcpCost)
	first, second := publish(t, r, halfOpen, server), publish(t, r, halfOpen, server)
	var clients []net.Conn
	for range 10 {
		clients = append(clients, dialTCP(t, first))
	}
	for _, c := range clients[:3] {
		echoes(t, c)
	}
	other := dialTCP(t, second)
	echoes(t, other)
	if n := served.Load(); n != 4 {
		t.Errorf("%d connections to the server, 3 by one port and one by another are what there is room for", n)
	}
	_ = other.Close()
	for i, c := range clients {
		echoes(t, c)
		_ = c.Close()
		if i == 0 && served.Load() > 5 {
			t.Errorf("%d connections when one has ended", served.Load())
		}
	}
	empties(t, r, 0)
}

// Datagrams of a new client are lost while there is no room, and others have their answers.
func TestDatagramsNeedRoom(t *testing.T) {
	t.Parallel()
	ln, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := sayer(t, "here")
	var node insides
	var to atomic.Pointer[proto.PublishedPort]
	r := newRoom(4 * udpCost)
	p := &udpPort{ln, &place{of: r}, &pieces{}, &to, func() (*inside, error) {
		c, err := net.Dial("udp", server)
		if err != nil {
			return nil, err
		}
		return node.add(c)
	}}
	defer p.Close()
	go p.serve()
	answered := func(c net.Conn) bool {
		_, _ = c.Write([]byte("x"))
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := c.Read(make([]byte, 10))
		return err == nil
	}
	var clients []net.Conn
	for range 3 {
		c, err := net.Dial("udp", ln.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	for _, c := range clients[:2] {
		eventually(t, "a client is answered", func() bool { return answered(c) })
	}
	for range 3 {
		if answered(clients[2]) {
			t.Fatal("a client is answered that there is no room for")
		}
	}
	eventually(t, "a client that was there is answered", func() bool { return answered(clients[0]) })
	node.end()
	empties(t, r, 0)
}
