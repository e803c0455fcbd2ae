package labinit

import (
	"errors"
	"net"
	"sync"
)

// insides are the lab init's own sockets in a node's network namespace. They end with the node: a socket keeps its namespace, with every
// link in it, and a peer that knows nothing of the node's end would go on to send there. The zero value is that of a node
// that has none.
type insides struct {
	mu   sync.Mutex
	all  map[*inside]bool
	over bool
}

// inside is one of them.
type inside struct {
	net.Conn
	of *insides
}

var errNodeEnded = errors.New("the node has ended")

// add takes charge of a connection, or closes it where the node has ended meanwhile.
func (s *insides) add(c net.Conn) (*inside, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		_ = c.Close()
		return nil, errNodeEnded
	}
	if s.all == nil {
		s.all = map[*inside]bool{}
	}
	in := &inside{c, s}
	s.all[in] = true
	return in, nil
}

// Close closes the connection.
func (c *inside) Close() error {
	c.of.mu.Lock()
	delete(c.of.all, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// end closes them all, and those to come.
func (s *insides) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for c := range s.all {
		_ = c.Conn.Close()
	}
	s.all = nil
}
