package labinit

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/supervise"
)

// deafNode is a node whose init takes no messages, in a lab, and the other end of its socket.
func deafNode(t *testing.T) (*labInit, *node, *container.Conn) {
	t.Helper()
	ours, theirs := connPair(t)
	s := spec("web", "sleep")
	n := &node{name: "web", spec: s, supervised: newSupervised(&s), proc: &container.Process{Conn: ours}}
	l := &labInit{super: newSupervisor(), nodes: []*node{n}}
	l.super.add(n)
	return l, n, theirs
}

// within fails the test when f takes long: it waits for a lock that is never free.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(3 * time.Second):
		t.Fatalf("%s waits for an init that takes no messages", what)
	}
}

// An init that is stopped holds up nobody but who wants something of it, whatever its socket holds.
func TestStoppedInitHoldsUpNobody(t *testing.T) {
	t.Parallel()
	l, n, theirs := deafNode(t)
	big := wire.Command{Argv: []string{"true"}, Env: []string{"K=" + strings.Repeat("x", 400_000)}}
	for range 3 {
		go func() { _ = n.exec(big) }()
	}
	all := func() bool {
		n.out.mu.Lock()
		defer n.out.mu.Unlock()
		return len(n.out.waiting) == 3
	}
	for !all() {
		time.Sleep(time.Millisecond)
	}
	within(t, "pause", func() { l.pause(&proto.PauseRequest{Nodes: []string{"web"}}) })
	within(t, "a start", func() { l.event(n, func(time.Time) []supervise.Action { return n.unit.Launch() }) })
	within(t, "a signal", func() { l.event(n, func(now time.Time) []supervise.Action { return n.unit.Stop(now, time.Second) }) })
	// Once it goes on, all comes in order.
	var got []wire.Kind
	for range 5 {
		k, _, fds, err := theirs.Receive()
		closeAll(fds)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, k)
	}
	if want := []wire.Kind{wire.Exec, wire.Exec, wire.Exec, wire.Start, wire.Kill}; !slices.Equal(got, want) {
		t.Errorf("the init got %v, want %v", got, want)
	}
}

// A message that nobody takes is taken back, with its descriptors, but for one that is sent in part.
func TestAwaitTakesBack(t *testing.T) {
	t.Parallel()
	_, n, theirs := deafNode(t)
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	large := n.out.put(n.proc.Conn, wire.Exec, make([]byte, 1<<20))
	late := n.out.put(n.proc.Conn, wire.Exec, nil, p[1])
	for _, m := range []*message{late, large} {
		if err := n.out.await(m, 20*time.Millisecond); err == nil || !strings.Contains(err.Error(), "SIGSTOP") {
			t.Fatalf("a message that nobody takes: %v", err)
		}
	}
	if n, err := unix.Read(p[0], make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("the descriptor of a message that was taken back is open: %d, %v", n, err)
	}
	last := n.out.put(n.proc.Conn, wire.Kill, nil)
	for _, want := range []wire.Kind{wire.Exec, wire.Kill} {
		k, _, fds, err := theirs.Receive()
		closeAll(fds)
		if k != want || err != nil {
			t.Fatalf("the init got %v, %v, want %v", k, err, want)
		}
	}
	if err := n.out.await(last, time.Second); err != nil {
		t.Error(err)
	}
	_ = n.proc.Conn.Close()
	if err := n.out.await(n.out.put(n.proc.Conn, wire.Kill, nil), time.Second); err == nil {
		t.Error("a message to an init that is gone was sent")
	}
}

// An up that is broken off while a command does not come to be started leaves a lab that is served.
func TestLaunchEndsWithUp(t *testing.T) {
	t.Parallel()
	l, n, theirs := deafNode(t)
	gone := make(chan struct{})
	close(gone)
	within(t, "a lab whose up is gone", func() { l.launch([]*node{n}, gone) })
	l.super.mu.Lock()
	if n.unit.Phase != supervise.Starting {
		t.Errorf("the command is %s", n.unit.State())
	}
	l.super.mu.Unlock()
	if k, _, _, err := theirs.Receive(); k != wire.Start || err != nil {
		t.Errorf("the init got %v, %v", k, err)
	}
}
