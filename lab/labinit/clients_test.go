package labinit

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/container/conn"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/proto"
)

// attended is a lab init without nodes that answers at a path.
func attended(t *testing.T, c *clients) (l *labInit, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "control")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	l = &labInit{ports: map[string]port{}, super: newSupervisor(), room: newRoom(0)}
	go func() { _ = l.attend(ln, c) }()
	return l, path
}

func dialControl(t *testing.T, path string) *conn.Conn {
	t.Helper()
	c, err := conn.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	return c
}

// request sends one, and answer takes what comes back.
func request(t *testing.T, c *conn.Conn, r proto.StatusRequest) {
	t.Helper()
	if err := proto.Send(c, proto.Status, r); err != nil {
		t.Fatal(err)
	}
}

func answer(t *testing.T, c *conn.Conn) (wire.Kind, string) {
	t.Helper()
	k, body, _, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	return k, string(body)
}

// Clients that say nothing do not keep others from being answered.
func TestSilentClientsAreLetGo(t *testing.T) {
	t.Parallel()
	c := newClients(0)
	c.time = 100 * time.Millisecond
	_, path := attended(t, c)
	var clients []*conn.Conn
	for range 10 {
		clients = append(clients, dialControl(t, path))
	}
	good := dialControl(t, path)
	request(t, good, proto.StatusRequest{})
	if k, _ := answer(t, good); k != proto.Reply {
		t.Errorf("the answer is of kind %d", k)
	}
	for _, s := range clients {
		_ = s.Close()
	}
	eventually(t, "all places are free", func() bool { return len(c.attended) == 0 })
}

// A client that takes no answer keeps its place for no longer than any other.
func TestAnswersAreTakenInTime(t *testing.T) {
	t.Parallel()
	c := newClients(0)
	c.time = 100 * time.Millisecond
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer := dialControl(t, ln.Addr().String())
	defer peer.Close()
	u, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.attended <- struct{}{} // somebody else
	client := c.admit(u.(*net.UnixConn))
	done := make(chan struct{})
	go func() {
		client.reply(strings.Repeat("x", 16<<20))
		client.leave()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("a client that takes nothing is waited for")
	}
}

// Clients that wait for what may never come keep nobody from being answered. Of more than there are places for each is told so.
func TestClientsThatWait(t *testing.T) {
	t.Parallel()
	c := newClients(0)
	l, path := attended(t, c)
	l.changing.Lock()
	var waiting []*conn.Conn
	for i := range c.most {
		w := dialControl(t, path)
		request(t, w, proto.StatusRequest{Settled: true})
		waiting = append(waiting, w)
		eventually(t, "it waits", func() bool { return c.waiting.Load() == i+1 })
	}
	more := dialControl(t, path)
	request(t, more, proto.StatusRequest{Settled: true})
	if k, text := answer(t, more); k != proto.Failed || !strings.Contains(text, "2 other commands wait") {
		t.Errorf("one more: %d, %q", k, text)
	}
	for range 2 * cap(c.attended) {
		good := dialControl(t, path)
		request(t, good, proto.StatusRequest{})
		if k, _ := answer(t, good); k != proto.Reply {
			t.Errorf("the answer is of kind %d", k)
		}
	}
	l.changing.Unlock()
	for _, w := range waiting {
		if k, _ := answer(t, w); k != proto.Reply {
			t.Errorf("who has waited is answered by kind %d", k)
		}
	}
	eventually(t, "all places are free", func() bool { return len(c.attended) == 0 && c.waiting.Load() == 0 })
}
