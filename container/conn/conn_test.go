package conn

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/wire"
)

// A connection that Dial makes and one of package net are two ends of one conversation, descriptors too, and to close either ends what
// waits on it.
func TestDial(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "socket")
	if _, err := Dial(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a socket: %v", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	u, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	peer := New(u.(*net.UnixConn))
	for _, end := range []*Conn{c, peer} {
		if err := end.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for from, to := range map[*Conn]*Conn{c: peer, peer: c} {
		if err := from.Send(wire.Exec, []byte("body"), int(null.Fd())); err != nil {
			t.Fatal(err)
		}
		k, body, fds, err := to.Receive()
		if err != nil || k != wire.Exec || string(body) != "body" || len(fds) != 1 {
			t.Errorf("got kind %d, %q, descriptors %v, error %v", k, body, fds, err)
		}
		closeFDs(fds)
	}
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	if err := New(f).Send(wire.Ready, nil); err != nil {
		t.Error(err)
	}
	_ = f.Close()
	if k, _, _, err := peer.Receive(); err != nil || k != wire.Ready {
		t.Errorf("by a duplicate: kind %d, error %v", k, err)
	}
	closed := make(chan error)
	go func() {
		_, _, _, err := c.Receive()
		closed <- err
	}()
	_ = c.Close()
	if err := <-closed; err == nil {
		t.Errorf("a connection closed here: %v", err)
	}
	if err := c.Send(wire.Ready, nil); err == nil {
		t.Errorf("then to send: %v", err)
	}
	if _, _, _, err := peer.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("one closed there: %v", err)
	}
	if err := peer.Send(wire.Ready, nil); !errors.Is(err, unix.EPIPE) {
		t.Errorf("then to send: %v", err)
	}
	_ = peer.Close()
	if err := peer.Send(wire.Ready, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed one of package net: %v", err)
	}
	_ = ln.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(path); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
}
