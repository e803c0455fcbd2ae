package labinit

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// silent is a server whose first client is the test's.
func silent(t *testing.T) (address string, accept func() *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String(), func() *net.TCPConn {
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		return c.(*net.TCPConn)
	}
}

// ended fails the test unless a stream ends, by whatever.
func ended(t *testing.T, who string, c net.Conn) {
	t.Helper()
	var timeout net.Error
	if _, err := io.Copy(io.Discard, c); errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the %s's connection is there still", who)
	}
}

// The end of what one side sends is passed on, and the other may go on, in whichever order.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	for _, clientFirst := range []bool{true, false} {
		server, accept := silent(t)
		r := newRoom(100)
		first := dialTCP(t, publish(t, r, time.Hour, server))
		second := accept()
		if !clientFirst {
			first, second = second, first
		}
		all := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		_, _ = first.Write([]byte("that is all"))
		_ = first.CloseWrite()
		if b, err := io.ReadAll(second); string(b) != "that is all" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		go func() {
			_, _ = second.Write(all)
			_ = second.CloseWrite()
		}()
		if b, err := io.ReadAll(first); !slices.Equal(b, all) || err != nil {
			t.Errorf("got %d bytes, %v", len(b), err)
		}
		empties(t, r, 0)
	}
}

// A connection that one side has closed, and in which the other says nothing, is let go; likewise one whose client takes nothing.
func TestHalfClosedIsLetGo(t *testing.T) {
	t.Parallel()
	server, accept := silent(t)
	r := newRoom(100)
	port := publish(t, r, 50*time.Millisecond, server)
	client := dialTCP(t, port)
	in := accept()
	_ = client.CloseWrite()
	ended(t, "client", client)
	ended(t, "server", in)
	empties(t, r, 0)

	client = dialTCP(t, port)
	in = accept()
	_ = in.CloseWrite()
	ended(t, "client", client)
	ended(t, "server", in)
	empties(t, r, 0)

	client = dialTCP(t, port)
	in = accept()
	_ = client.CloseWrite()
	for { // until nobody takes it any more
		if _, err := in.Write(make([]byte, 1<<20)); errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	empties(t, r, 0)
}

// As long as the other side has something to say, the connection stays.
func TestHalfClosedStaysWithData(t *testing.T) {
	t.Parallel()
	const patience = 600 * time.Millisecond
	server, accept := silent(t)
	port := publish(t, newRoom(100), patience, server)
	for range 20 { // a machine that is slower than that says nothing
		client := dialTCP(t, port)
		in := accept()
		_ = client.CloseWrite()
		began, last, slow := time.Now(), time.Now(), false
		var err error
		for err == nil && !slow && time.Since(began) < 3*patience {
			time.Sleep(20 * time.Millisecond)
			slow = time.Since(last) > patience/3
			last = time.Now()
			if _, err = in.Write([]byte("x")); err == nil {
				_, err = client.Read(make([]byte, 1))
			}
		}
		if slow {
			continue
		}
		if err != nil {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		return
	}
	t.Log("the machine is too slow")
}

// What a client that is gone has left of a connection does not stay for long, though the server takes no notice.
func TestBrokenIsLetGo(t *testing.T) {
	t.Parallel()
	server, accept := silent(t)
	r := newRoom(100)
	client := dialTCP(t, publish(t, r, time.Hour, server))
	in := accept()
	_ = client.SetLinger(0)
	_ = client.Close()
	ended(t, "server", in)
	empties(t, r, 0)
}

// remembering is a listener that remembers what it has accepted.
type remembering struct {
	net.Listener
	accepted chan net.Conn
}

func (r *remembering) Accept() (net.Conn, error) {
	c, err := r.Listener.Accept()
	if err == nil {
		r.accepted <- c
	}
	return c, err
}

// Peers that are gone without a word are found out: the kernel asks on either side.
func TestPeersAreKeptAlive(t *testing.T) {
	t.Parallel()
	ns := here(t)
	server, _ := silent(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &remembering{ln, make(chan net.Conn, 2)}
	p := &tcpPort{l, &place{of: newRoom(100)}, &pieces{}, func() (*inside, error) {
		at, err := net.ResolveTCPAddr("tcp", server)
		if err != nil {
			return nil, err
		}
		c, err := dialFrom(ns, "tcp", at.AddrPort(), 10*time.Second)
		if err != nil {
			return nil, err
		}
		l.accepted <- c
		return (&insides{}).add(c)
	}, halfOpen}
	defer p.Close()
	go p.serve()
	dialTCP(t, ln.Addr().String())
	for _, side := range []string{"client's", "node's"} {
		raw, err := (<-l.accepted).(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		on := 0
		if cerr := raw.Control(func(fd uintptr) { on, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE) }); cerr != nil || err != nil || on == 0 {
			t.Errorf("the %s side: %d, %v, %v", side, on, cerr, err)
		}
	}
}
