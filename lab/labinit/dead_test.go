package labinit

import (
	"maps"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/nsnet/nsnet/lab/proto"
)

type closer struct{ closed bool }

func (c *closer) Close() error {
	c.closed = true
	return nil
}

// The ports of a node that has died are closed, those of others and of the node that has come in its place are not.
func TestPortsOfADeadNode(t *testing.T) {
	a, b, again := &node{name: "a"}, &node{name: "b"}, &node{name: "a"}
	closers := map[string]*closer{}
	l := &labInit{nodes: []*node{a, b}, ports: map[string]port{}}
	for key, to := range map[string]string{"80": "a", "81": "b", "82": "a"} {
		p := &atomic.Pointer[proto.PublishedPort]{}
		p.Store(&proto.PublishedPort{Node: to, Key: key})
		closers[key] = &closer{}
		l.ports[key] = port{closers[key], p}
	}
	l.nodes = []*node{again, b}
	l.closePorts(a)
	if got := slices.Sorted(maps.Keys(l.ports)); !slices.Equal(got, []string{"80", "81", "82"}) {
		t.Errorf("an earlier node of the name has died, and there are ports %v", got)
	}
	l.closePorts(again)
	if got := slices.Sorted(maps.Keys(l.ports)); !slices.Equal(got, []string{"81"}) {
		t.Errorf("the node has died, and there are ports %v", got)
	}
	for key, c := range closers {
		if c.closed != (key != "81") {
			t.Errorf("port %s is closed: %t", key, c.closed)
		}
	}
}
