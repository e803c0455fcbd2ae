package lab

import (
	"strings"
	"testing"
	"time"
)

func TestNotReadyError(t *testing.T) {
	t.Parallel()
	nodes := []NotReady{{"web", "it is unhealthy", "tcp 80", "connection refused"}, {Node: "b", Reason: "it waits for node web: it is unhealthy"}}
	for want, e := range map[string]*NotReadyError{
		"lab demo: node web is not ready: it is unhealthy; check tcp 80: connection refused\n": {Lab: "demo", Nodes: nodes},
		"lab demo: not ready after 1m30s\nlab demo: node web is not ready: it is unhealthy; check tcp 80: connection refused\n" +
			"lab demo: node b is not ready: it waits for node web: it is unhealthy\n": {Lab: "demo", Nodes: nodes, TimedOut: 90 * time.Second},
	} {
		want += "the lab stays up; nsnet ps demo shows it, nsnet logs demo/web what the node's command has written"
		if got := e.Error(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	lines := &NotReadyError{Lab: "demo", Nodes: []NotReady{{Node: "web", Reason: "it is unhealthy", Check: "command", Output: "one\ntwo\n"}}}
	if got := lines.Error(); !strings.HasPrefix(got, "lab demo: node web is not ready: it is unhealthy; check command: \n    one\n    two\nthe lab stays up") {
		t.Errorf("of several lines: %s", got)
	}
	many := &NotReadyError{Lab: "demo", TimedOut: 1, Nodes: make([]NotReady, 40)}
	if got := many.Error(); strings.Count(got, "\n") != 12 || !strings.Contains(got, "\n30 nodes more are not ready\n") {
		t.Errorf("of 40 nodes: %s", got)
	}
}
