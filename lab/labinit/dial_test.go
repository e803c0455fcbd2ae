package labinit

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// here is this process's own network namespace.
func here(t *testing.T) *os.File {
	t.Helper()
	testenv.Root(t)
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func portOf(t *testing.T, at net.Addr) netip.AddrPort {
	t.Helper()
	p, err := netip.ParseAddrPort(at.String())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDialFrom(t *testing.T) {
	t.Parallel()
	ns := here(t)
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if c, err := ln.Accept(); err == nil {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}
		}()
		to := portOf(t, ln.Addr())
		c, err := dialFrom(ns, "tcp", to, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("hello"))
		_ = c.(*net.TCPConn).CloseWrite()
		if b, err := io.ReadAll(c); string(b) != "hello" || err != nil {
			t.Errorf("%s: got %q, %v", at, b, err)
		}
		_, _ = c.Close(), ln.Close()
		_, err = dialFrom(ns, "tcp", to, time.Second)
		if want := "dial tcp " + to.String() + ": connect: connection refused"; !errors.Is(err, unix.ECONNREFUSED) || err.Error() != want {
			t.Errorf("where nobody listens: %v, want %s", err, want)
		}
		u, err := dialFrom(ns, "udp", to, time.Second)
		if err != nil || u.RemoteAddr().String() != to.String() {
			t.Fatalf("udp: %v", err)
		}
		_ = u.Close()
	}
}

// A server that accepts nothing has each of its clients wait, and none of them take a thread.
func TestDialFromTakesNoThreads(t *testing.T) {
	t.Parallel()
	ns := here(t)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(sa.(*unix.SockaddrInet4).Port))
	const clients = 300
	var late int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := dialFrom(ns, "tcp", to, time.Second)
			if err == nil {
				defer c.Close()
			}
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				mu.Lock()
				late++
				mu.Unlock()
			}
		}()
	}
	time.Sleep(700 * time.Millisecond)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if len(threads) > clients/2 {
		t.Errorf("%d threads for %d connections that wait", len(threads), clients)
	}
	if late < clients*9/10 {
		t.Errorf("%d of %d connections were late: the server's queue is not full", late, clients)
	}
}
