package labinit

import (
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

// history is what nodes' inits were told, in order: "start a", "term a".
type history struct {
	mu   sync.Mutex
	said []string
}

func (h *history) add(s string) {
	h.mu.Lock()
	h.said = append(h.said, s)
	h.mu.Unlock()
}

func (h *history) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := strings.Join(h.said, ", ")
	h.said = nil
	return s
}

// connPair is a socket to a node's init, and the init's end of it.
func connPair(t *testing.T) (ours, theirs *container.Conn) {
	t.Helper()
	a, b, err := container.SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	if ours, err = container.NewConn(a); err != nil {
		t.Fatal(err)
	}
	if theirs, err = container.NewConn(b); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = theirs.Close(), ours.Close() })
	return ours, theirs
}

// fakeLab is a lab init with nodes whose inits are goroutines: they know how to start and to end a command that does
// nothing, and one that is deaf to SIGTERM.
func fakeLab(t *testing.T, nodes ...topology.Node) (*labInit, *history, map[string]*container.Conn) {
	t.Helper()
	l, h, inits := &labInit{super: newSupervisor()}, &history{}, map[string]*container.Conn{}
	for _, spec := range nodes {
		ours, theirs := connPair(t)
		n := &node{name: spec.Name, spec: spec, fresh: true, supervised: newSupervised(&spec), proc: &container.Process{Conn: ours}}
		l.nodes = append(l.nodes, n)
		inits[n.name] = theirs
		go fakeInit(theirs, n.name, spec.Command, h)
	}
	return l, h, inits
}

func fakeInit(c *container.Conn, name string, argv []string, h *history) {
	say := func(k wire.Kind, values ...uint64) {
		var w wire.Writer
		for _, v := range values {
			w.Uint(v)
		}
		_ = c.Send(k, w.Bytes())
	}
	runs := false
	for {
		k, body, _, err := c.Receive()
		if err != nil {
			return
		}
		r := wire.NewReader(body)
		switch k {
		case wire.Start:
			h.add("start " + name)
			if argv[0] == "missing" {
				var w wire.Writer
				(&wire.Failure{Errno: uint32(unix.ENOENT), Text: "missing"}).Encode(&w)
				_ = c.Send(wire.Failed, w.Bytes())
				continue
			}
			runs = true
			say(wire.Started, 7)
		case wire.Share:
			h.add(map[bool]string{true: "listen to ", false: "enough of "}[r.Uint() == 1] + name)
		case wire.Kill:
			sig := unix.Signal(r.Uint())
			if sig == unix.SIGKILL {
				h.add("kill " + name)
			} else if r.Uint() == 0 {
				h.add("term " + name)
			}
			if runs && (sig == unix.SIGKILL || argv[0] != "deaf") {
				say(wire.Left, 7)
				say(wire.Exited, uint64(sig))
				runs = false
			}
			if runs {
				say(wire.Left, 7)
			} else {
				say(wire.Left)
			}
		}
	}
}

func spec(name, command string, deps ...string) topology.Node {
	n := topology.Node{Name: name}
	if command != "" {
		n.Command = []string{command}
	}
	for _, d := range deps {
		n.DependsOn = append(n.DependsOn, topology.Dependency{Node: d, Condition: topology.DependReady})
	}
	return n
}

func (l *labInit) states() string {
	var all []string
	for _, n := range l.status().Nodes {
		all = append(all, n.Name+" "+n.State)
	}
	return strings.Join(all, ", ")
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, not %q", what, got, want)
	}
}

func TestControlInOrder(t *testing.T) {
	t.Parallel()
	l, h, _ := fakeLab(t, spec("web", "x", "db"), spec("db", "x", "disk"), spec("disk", "x"), spec("idle", ""))
	l.startCommands(nil)
	if r := l.await(&proto.AwaitRequest{}, nil); len(r.Unready) > 0 {
		t.Fatalf("%+v", r)
	}
	same(t, "up", h.take(), "start disk, start db, start web")
	all := []string{"web", "db", "disk"}
	for range 2 {
		l.control(&proto.ControlRequest{Op: proto.OpStop, Nodes: all, Ordered: true, Grace: time.Minute}, nil)
	}
	same(t, "stop", h.take(), "term web, term db, term disk")
	same(t, "stopped", l.states(), "web stopped, db stopped, disk stopped, idle idle")
	r := l.control(&proto.ControlRequest{Op: proto.OpStart, Nodes: all, Ordered: true}, nil)
	same(t, "start", h.take(), "start disk, start db, start web")
	for _, n := range r.Nodes {
		if !n.Changed || n.Failed != "" {
			t.Errorf("%+v", n)
		}
	}
	l.control(&proto.ControlRequest{Op: proto.OpRestart, Nodes: all, Ordered: true, Grace: time.Minute}, nil)
	same(t, "restart", h.take(), "term web, term db, term disk, start disk, start db, start web")
	// A single one is restarted whatever it depends on, and whoever depends on it.
	l.control(&proto.ControlRequest{Op: proto.OpRestart, Nodes: []string{"db"}, Grace: time.Minute}, nil)
	same(t, "restart of one", h.take(), "term db, start db")
	if r := l.control(&proto.ControlRequest{Op: proto.OpStart, Nodes: []string{"db", "gone"}}, nil); r.Nodes[0].Changed || r.Nodes[1].Failed == "" {
		t.Errorf("start of one that runs, and of one that is not there: %+v", r)
	}
	same(t, "start of one that runs", h.take(), "")
}

func TestControlKills(t *testing.T) {
	t.Parallel()
	l, h, _ := fakeLab(t, spec("n", "deaf"))
	l.startCommands(nil)
	began := time.Now()
	r := l.control(&proto.ControlRequest{Op: proto.OpStop, Nodes: []string{"n"}, Grace: 50 * time.Millisecond}, nil)
	same(t, "stop", h.take(), "start n, term n, kill n")
	same(t, "stopped", l.states(), "n stopped")
	if d := time.Since(began); d < 50*time.Millisecond || !r.Nodes[0].Changed {
		t.Errorf("%+v after %v", r, d)
	}
}

func TestControlTellsWhatFails(t *testing.T) {
	t.Parallel()
	l, h, _ := fakeLab(t, spec("n", "missing"), spec("user", "x", "n"))
	l.startCommands(nil)
	same(t, "up", l.states(), "n exited, user waiting")
	r := l.control(&proto.ControlRequest{Op: proto.OpRestart, Nodes: []string{"n"}}, nil)
	if n := r.Nodes[0]; n.Failed != "missing: no such file or directory" || n.Errno != uint32(unix.ENOENT) {
		t.Errorf("%+v", n)
	}
	r = l.control(&proto.ControlRequest{Op: proto.OpStart, Nodes: []string{"n", "user"}, Ordered: true}, nil)
	if n := r.Nodes[1]; !strings.HasPrefix(n.Failed, "node n, which it depends on: its command could not be started") {
		t.Errorf("%+v", n)
	}
	w := l.await(&proto.AwaitRequest{}, nil)
	if len(w.Unready) != 2 || !w.Unready[0].Failed || w.Unready[0].Node != "n" || w.TimedOut {
		t.Errorf("%+v", w)
	}
	h.take()
	// By hand it may be started all the same.
	l.control(&proto.ControlRequest{Op: proto.OpStart, Nodes: []string{"user"}}, nil)
	same(t, "start of one", h.take(), "start user")
}

func TestAwaitIsOver(t *testing.T) {
	t.Parallel()
	n := spec("n", "x")
	n.Ready = &topology.Ready{Log: "never", StartPeriodMS: 60_000, Retries: 1}
	l, _, inits := fakeLab(t, n)
	l.startCommands(nil)
	r := l.await(&proto.AwaitRequest{Timeout: 20 * time.Millisecond}, nil)
	if !r.TimedOut || len(r.Unready) != 1 || r.Unready[0].Failed || r.Unready[0].Check != `log "never"` {
		t.Errorf("%+v", r)
	}
	gone := make(chan struct{})
	close(gone)
	if r := l.await(&proto.AwaitRequest{}, gone); r.TimedOut || len(r.Unready) != 1 {
		t.Errorf("%+v", r)
	}
	// A line that comes makes it ready; the end of its init makes it dead.
	_ = inits["n"].Send(wire.Output, []byte("it is nev"))
	_ = inits["n"].Send(wire.Output, []byte("er\n"))
	if r := l.await(&proto.AwaitRequest{}, nil); len(r.Unready) != 0 {
		t.Errorf("%+v", r)
	}
	_ = inits["n"].Close()
	l.super.until(nil, func() bool { return l.nodes[0].unit.State() == "dead" })
	if r := l.await(&proto.AwaitRequest{}, nil); len(r.Unready) != 1 || !r.Unready[0].Failed {
		t.Errorf("%+v", r)
	}
	if r := l.control(&proto.ControlRequest{Op: proto.OpStart, Nodes: []string{"n"}}, nil); r.Nodes[0].Failed != "it is dead" {
		t.Errorf("%+v", r)
	}
}

// What the file says of a running node by now holds from the next end of its command on.
func TestAdapt(t *testing.T) {
	t.Parallel()
	l, h, inits := fakeLab(t, spec("n", "x"))
	var logs [2]int
	if err := unix.Pipe2(logs[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	l.nodes[0].logs = logs[:]
	l.startCommands(nil)
	if l.nodes[0].logs != nil {
		t.Error("the lab init keeps the log open, which is the node's init's")
	}
	changed := spec("n", "x")
	changed.Restart = topology.Restart{Mode: topology.RestartAlways}
	changed.Ready = &topology.Ready{Log: "up", StartPeriodMS: 60_000, Retries: 1}
	l.adapt(l.nodes[0], &changed)
	if got := l.status().Nodes[0]; got.Ready != "waiting" || got.State != "running" {
		t.Errorf("%+v", got)
	}
	_ = inits["n"].Send(wire.Output, []byte("up\n"))
	l.await(&proto.AwaitRequest{}, nil)
	var w wire.Writer
	w.Uint(0)
	_ = inits["n"].Send(wire.Exited, w.Bytes())
	l.super.until(nil, func() bool { return l.nodes[0].unit.Restarts == 1 })
	l.super.until(nil, func() bool { return l.nodes[0].unit.State() == "running" })
	same(t, "starts", h.take(), "start n, listen to n, enough of n, listen to n, start n")
}

// Whoever asks for a start that does not succeed is told so whatever the policy is; and when up restarts a command it is not known from then on
// which one runs.
func TestControlByUp(t *testing.T) {
	t.Parallel()
	again := spec("a", "missing")
	again.Restart = topology.Restart{Mode: topology.RestartAlways}
	l, _, _ := fakeLab(t, again, spec("b", "serve"))
	l.launch(l.all(), nil)
	for _, n := range l.all() {
		n.setup.Command = "before"
	}
	digests := func() string { return l.node("a").setup.Command + ", " + l.node("b").setup.Command }
	for _, tc := range []struct {
		op, digests string
		byUp        bool
		now         map[string]string
	}{
		{proto.OpStart, "before, before", false, nil},
		{proto.OpStart, "before, before", true, nil},
		{proto.OpRestart, "before, before", false, nil},
		{proto.OpRestart, ", ", true, nil},
		{proto.OpRestart, ", now", true, map[string]string{"a": "now", "b": "now"}},
	} {
		reply := l.control(&proto.ControlRequest{Op: tc.op, Nodes: []string{"a", "b"}, Grace: time.Second, ByUp: tc.byUp, Digests: tc.now}, nil)
		same(t, tc.op, reply.Nodes[0].Failed, "missing: no such file or directory")
		same(t, tc.op, reply.Nodes[1].Failed, "")
		same(t, tc.op, digests(), tc.digests)
	}
}
