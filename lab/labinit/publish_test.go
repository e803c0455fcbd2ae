package labinit

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsnet/nsnet/lab/proto"
)

// sayer is a UDP server that answers whatever it gets with its name.
func sayer(t *testing.T, name string) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 100)
		for {
			_, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = c.WriteTo([]byte(name), from)
		}
	}()
	return c.LocalAddr().String()
}

// A client that goes on to send from the same port reaches the node that the port leads to now, and not one that has ended or an
// address that it was led away from.
func TestUDPClientFollowsItsPort(t *testing.T) {
	t.Parallel()
	ln, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var to atomic.Pointer[proto.PublishedPort]
	var at atomic.Pointer[string]
	var nodes [2]insides
	var node atomic.Pointer[insides]
	lead := func(n *insides, name string) {
		address := sayer(t, name)
		at.Store(&address)
		node.Store(n)
	}
	lead(&nodes[0], "first")
	to.Store(&proto.PublishedPort{})
	room := newRoom(mostRoom)
	u := &udpPort{ln, &place{of: room}, &pieces{}, &to, func() (*inside, error) {
		c, err := net.Dial("udp", *at.Load())
		if err != nil {
			return nil, err
		}
		return node.Load().add(c)
	}}
	go u.serve()
	client, err := net.Dial("udp", ln.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	answered := func(want string) {
		t.Helper()
		b := make([]byte, 100)
		for range 20 { // one may come before the old session has ended
			_, _ = client.Write([]byte("who"))
			_ = client.SetReadDeadline(time.Now().Add(250 * time.Millisecond))
			if n, err := client.Read(b); err == nil && string(b[:n]) == want {
				return
			}
		}
		t.Fatalf("%s does not answer", want)
	}
	answered("first")
	lead(&nodes[1], "second")
	nodes[0].end()
	answered("second")
	lead(&nodes[1], "third")
	to.Store(&proto.PublishedPort{})
	answered("third")
	nodes[1].mu.Lock()
	defer nodes[1].mu.Unlock()
	if n := len(nodes[1].all); n != 1 {
		t.Errorf("%d sessions of one client", n)
	}
	empties(t, room, 1)
	if _, err := nodes[0].add(client); !errors.Is(err, errNodeEnded) {
		t.Errorf("a connection into a node that has ended: %v", err)
	}
}

// An idle client of a node that ends sees the end of its connection, which lets go of the node's namespace.
func TestTCPEndsWithItsNode(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var node insides
	connected := make(chan struct{})
	p := &tcpPort{ln, &place{of: newRoom(mostRoom)}, &pieces{}, func() (*inside, error) {
		defer close(connected)
		c, err := net.Dial("tcp", server.Addr().String())
		if err != nil {
			return nil, err
		}
		return node.add(c)
	}, halfOpen}
	go p.serve()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	in, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	<-connected // one that comes after the node's end is reset
	node.end()
	for name, c := range map[string]net.Conn{"client": client, "server": in} {
		_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
		if n, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the %s has %d bytes, error %v", name, n, err)
		}
	}
	// The client's other direction is closed, too, and not only what comes from the node: a write is answered by a reset.
	for range 100 {
		if _, err = client.Write([]byte("x")); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the client's connection is half open still")
}
