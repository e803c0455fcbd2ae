package container

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/wire"
)

// connPair is two ends of a conversation, closed at the test's end.
func connPair(t *testing.T) (a, b *Conn) {
	t.Helper()
	fa, fb, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	if a, err = NewConn(fa); err != nil {
		t.Fatal(err)
	}
	if b, err = NewConn(fb); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = a.Close(), b.Close()
	})
	return a, b
}

// receive fails the test after ten seconds.
func receive(t *testing.T, c *Conn) (wire.Kind, []byte, []int, error) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.Receive()
}

func TestConnPassesDescriptors(t *testing.T) {
	t.Parallel()
	a, b := connPair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := a.Send(wire.Start, []byte("body"), int(w.Fd()), int(r.Fd())); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	// The next message's bytes and descriptors are its own.
	if err := a.Send(wire.Signal, []byte("next")); err != nil {
		t.Fatal(err)
	}
	k, body, fds, err := receive(t, b)
	if err != nil || k != wire.Start || string(body) != "body" || len(fds) != 2 {
		t.Fatalf("received kind %d, %q, descriptors %v, error %v", k, body, fds, err)
	}
	for _, fd := range fds {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d would leak into a child: flags %#x, error %v", fd, flags, err)
		}
	}
	got := os.NewFile(uintptr(fds[0]), "received")
	_, _ = got.WriteString("through the copy")
	_ = got.Close()
	_ = unix.Close(fds[1])
	if text, err := io.ReadAll(r); err != nil || string(text) != "through the copy" {
		t.Errorf("the pipe gave %q, error %v", text, err)
	}
	if k, body, fds, err := receive(t, b); err != nil || k != wire.Signal || string(body) != "next" || len(fds) != 0 {
		t.Errorf("then kind %d, %q, descriptors %v, error %v", k, body, fds, err)
	}
}

// A body of many times the socket's buffer arrives whole, with its descriptors, between two
// others.
func TestConnBigBodies(t *testing.T) {
	t.Parallel()
	a, b := connPair(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	bodies := [][]byte{nil, bytes.Repeat([]byte("0123456789abcdef"), 1<<20), []byte("small")}
	sent := make(chan error, 1)
	go func() {
		for _, body := range bodies {
			if err := a.Send(wire.Boot, body, int(null.Fd())); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for _, want := range bodies {
		_, body, fds, err := receive(t, b)
		if err != nil || !bytes.Equal(body, want) || len(fds) != 1 {
			t.Fatalf("received %d of %d bytes, descriptors %v, error %v", len(body), len(want), fds, err)
		}
		closeFDs(fds)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// As many descriptors as the kernel passes at once (SCM_MAX_FD).
func TestConnManyDescriptors(t *testing.T) {
	t.Parallel()
	a, b := connPair(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fds := make([]int, 253)
	for i := range fds {
		fds[i] = int(null.Fd())
	}
	if err := a.Send(wire.Boot, []byte("x"), fds...); err != nil {
		t.Fatal(err)
	}
	_, body, got, err := receive(t, b)
	if err != nil || string(body) != "x" || len(got) != len(fds) {
		t.Errorf("%d of %d descriptors, body %q, error %v", len(got), len(fds), body, err)
	}
	closeFDs(got)
}

func TestConnEndOfFile(t *testing.T) {
	t.Parallel()
	a, b := connPair(t)
	if err := a.Send(wire.Ready, nil); err != nil {
		t.Fatal(err)
	}
	_ = a.Close()
	if k, _, _, err := receive(t, b); err != nil || k != wire.Ready {
		t.Fatalf("what was sent before the end: kind %d, error %v", k, err)
	}
	if _, _, _, err := receive(t, b); !errors.Is(err, io.EOF) {
		t.Errorf("the end is %v, not end of file", err)
	}
}

// A peer that ends inside a message is an error, and what it sent along is closed.
func TestConnCutShort(t *testing.T) {
	t.Parallel()
	var h [wire.HeaderSize]byte
	wire.PutHeader(&h, wire.Boot, 10)
	for name, part := range map[string]string{
		"in the header":   string(h[:5]),
		"before the body": string(h[:]),
		"in the body":     string(h[:]) + "12345",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := connPair(t)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, _, err := a.Socket.(*net.UnixConn).WriteMsgUnix([]byte(part), unix.UnixRights(int(w.Fd())), nil); err != nil {
				t.Fatal(err)
			}
			_, _ = w.Close(), a.Close()
			if k, body, fds, err := receive(t, b); err == nil || fds != nil {
				t.Fatalf("received kind %d, %q, descriptors %v", k, body, fds)
			}
			// Only when no copy of the pipe's other end is left does reading it end.
			_ = r.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("the descriptor that came along is open: %v", err)
			}
		})
	}
}

func TestConnRefusesHugeMessage(t *testing.T) {
	t.Parallel()
	a, b := connPair(t)
	var h [wire.HeaderSize]byte
	wire.PutHeader(&h, wire.Boot, (256<<20)+1)
	if _, err := a.Socket.(*net.UnixConn).Write(h[:]); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := receive(t, b); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("a message of %d bytes: %v", (256<<20)+1, err)
	}
}

func TestNewConnWantsUnixSocket(t *testing.T) {
	t.Parallel()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := NewConn(os.NewFile(uintptr(fd), "tcp")); err == nil {
		_ = c.Close()
		t.Error("a TCP socket was taken")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if c, err := NewConn(w); err == nil {
		_ = c.Close()
		t.Error("a pipe was taken")
	}
}
