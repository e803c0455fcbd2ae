package labinit

import (
	"bufio"
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nsnet/nsnet/lab/supervise"
	"github.com/nsnet/nsnet/topology"
)

// A line is found however the output comes in pieces, and only when it has ended.
func TestMatcher(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"up", "up 1", "not up 1", "\r", "\n", "\n", " ", "1"})).Draw(t, "text"), "")
		re := regexp.MustCompile(`^up \d$`)
		want := -1 // where the first line that matches ends
		at := 0
		for line := range strings.Lines(text) {
			if at += len(line); want < 0 && strings.HasSuffix(line, "\n") && re.MatchString(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")) {
				want = at
			}
		}
		m := newMatcher(re.String())
		got := -1
		for at := 0; at < len(text) && got < 0; {
			n := rapid.IntRange(1, len(text)-at).Draw(t, "piece")
			if m.feed([]byte(text[at : at+n])) {
				got = at + n
			}
			at += n
		}
		if (want < 0) != (got < 0) || got >= 0 && got < want {
			t.Fatalf("%q: a line that matches ends at %d, found at %d", text, want, got)
		}
	})
	m := newMatcher("z$")
	for range 3 {
		if m.feed(bytes.Repeat([]byte("x"), lineMax/2)) || len(m.line) > lineMax {
			t.Fatalf("a line without an end takes %d bytes", len(m.line))
		}
	}
	m.feed([]byte("y\nlast\nrest"))
	if got := m.failure(); got != "no line matches; the last one: last" {
		t.Error(got)
	}
}

func TestStatusFits(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		line string
		want int
		fits bool
	}{
		{"HTTP/1.1 200 OK", 0, true}, {"HTTP/1.0 204", 0, true}, {"HTTP/1.1 399 x", 0, true}, {"HTTP/1.1 301 Moved", 0, true},
		{"HTTP/1.1 404 Not Found", 0, false}, {"HTTP/1.1 503 x", 0, false}, {"HTTP/1.1 100 Continue", 0, false},
		{"HTTP/1.1 404 Not Found", 404, true}, {"HTTP/1.1 200 OK", 204, false},
		{"SSH-2.0-OpenSSH", 0, false}, {"", 0, false}, {"200 OK", 200, false}, {"HTTP/1.1", 0, false}, {"HTTP/2 200", 0, false},
	} {
		if got := statusFits(tc.line, tc.want); got != tc.fits {
			t.Errorf("%q, wanted %d: %v", tc.line, tc.want, got)
		}
	}
}

func TestCheckText(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]*topology.Ready{
		"":                        nil,
		"tcp 80":                  {TCP: 80},
		"http port 8080 path /x":  {HTTP: &topology.HTTPCheck{Port: 8080, Path: "/x"}},
		`log "^up \"now\""`:       {Log: `^up "now"`},
		"exec /bin/sh -c true ok": {Exec: []string{"/bin/sh", "-c", "true ok"}},
		`exec a\nnsnet: b`:        {Exec: []string{"a\nnsnet: b"}},
	} {
		if got := checkText(r); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func TestLast(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 9000).Draw(t, "bytes")
		most := rapid.IntRange(1, 100).Draw(t, "most")
		if got := last(bufio.NewReaderSize(bytes.NewReader(b), 16), most); !bytes.Equal(got, b[max(0, len(b)-most):]) {
			t.Fatalf("of %d bytes, %d at most, %d are kept", len(b), most, len(got))
		}
	})
}

func TestNewSupervised(t *testing.T) {
	t.Parallel()
	idle := newSupervised(&topology.Node{})
	if idle.unit.Phase != supervise.Idle || idle.health.State != supervise.NoCheck {
		t.Errorf("an idle node: %+v", idle.unit)
	}
	s := newSupervised(&topology.Node{Command: []string{"x"}, Restart: topology.Restart{Mode: topology.RestartOnFailure, Max: 3},
		Ready:     &topology.Ready{Log: "x", IntervalMS: 1500, StartPeriodMS: 2, Retries: 4},
		DependsOn: []topology.Dependency{{Node: "a", Condition: topology.DependStarted}, {Node: "b", Condition: topology.DependReady}, {Node: "c", Condition: topology.DependExited}}})
	want := supervise.Probe{Interval: 1500 * time.Millisecond, StartPeriod: 2 * time.Millisecond, Retries: 4, Passive: true}
	if s.unit.Phase != supervise.Waiting || s.unit.Policy != (supervise.Policy{Mode: supervise.OnFailure, Max: 3}) || *s.health.Probe != want {
		t.Errorf("%+v, %+v", s.unit, s.health.Probe)
	}
	if deps := []supervise.Dependency{{Node: "a"}, {Node: "b", Condition: supervise.IsReady}, {Node: "c", Condition: supervise.HasExited}}; !slices.Equal(s.deps, deps) {
		t.Errorf("%v", s.deps)
	}
	if p := newSupervised(&topology.Node{Command: []string{"x"}, Restart: topology.Restart{Mode: topology.RestartAlways}}).unit.Policy; p.Mode != supervise.Always {
		t.Errorf("%+v", p)
	}
}

// However long it takes to match a line, the other nodes' supervision goes on.
func TestMatchHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	l := &labInit{super: newSupervisor()}
	n := &node{name: "n", dead: true} // there is nobody to be told anything
	n.supervised = newSupervised(&topology.Node{Name: "n", Command: []string{"x"}, Ready: &topology.Ready{Log: "up"}})
	begun, goOn := make(chan struct{}), make(chan struct{})
	n.match = &matcher{matches: func([]byte) bool {
		close(begun)
		<-goOn
		return true
	}}
	heard := make(chan struct{})
	go func() {
		l.hear(n, []byte("up\n"))
		close(heard)
	}()
	<-begun
	if !l.super.mu.TryLock() {
		t.Error("the supervisor waits for the match")
	} else {
		n.health.Begin(time.Now())
		l.super.mu.Unlock()
	}
	close(goOn)
	<-heard
	if n.match != nil {
		t.Error("a line that has matched is waited for")
	}
}
