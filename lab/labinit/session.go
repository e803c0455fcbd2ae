package labinit

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/proto"
)

// session is the conversation with an up that builds or changes the lab.
type session struct {
	conn  *container.Conn
	sendM sync.Mutex // held while sending

	mu     sync.Mutex
	mounts map[int]chan mountReply

	wired  chan struct{}
	commit chan commitment
	done   atomic.Bool   // commit has come
	ended  chan struct{} // up has gone
	err    error         // why, after ended
}

// commitment is up's last word.
type commitment struct {
	spec proto.CommitSpec
	fds  []int
}

// mountReply is what up sent for a node: layers, binds and, for a command, logs.
type mountReply struct {
	fds  []int
	dirs []bool
	pid  int

	uppers []string
	held   int
	served []string
	lost   bool
	ipcSet bool // the sysctls of its IPC namespace are set

	charged bool // the first that is held counts what is killed for memory
}

func newSession(c *container.Conn) *session {
	return &session{conn: c, mounts: map[int]chan mountReply{}, wired: make(chan struct{}, 1), commit: make(chan commitment, 1), ended: make(chan struct{})}
}

func (s *session) send(k wire.Kind, v any, fds ...int) error {
	s.sendM.Lock()
	defer s.sendM.Unlock()
	return proto.Send(s.conn, k, v, fds...)
}

func (s *session) mountsOf(i int) chan mountReply {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.mounts[i]
	if c == nil {
		c = make(chan mountReply, 1)
		s.mounts[i] = c
	}
	return c
}

// listen takes up's messages until it goes.
func (s *session) listen() {
	s.err = s.take()
	close(s.ended)
}

func (s *session) take() error {
	for {
		k, body, fds, err := s.conn.Receive()
		if err != nil {
			return err
		}
		switch k {
		case proto.Mounts:
			var m proto.NodeIndex
			if err = proto.Decode(body, &m); err == nil {
				s.mountsOf(m.Index) <- mountReply{fds, m.Dirs, m.PID, m.Uppers, m.Held, m.Served, m.Lost, m.IPCSet, m.Charged}
			}
		case proto.Wired:
			s.wired <- struct{}{}
		case proto.Commit:
			var c proto.CommitSpec
			if err = proto.Decode(body, &c); err == nil && len(fds) < len(c.Ports) {
				err = fmt.Errorf("%d sockets for %d ports", len(fds), len(c.Ports))
			}
			if err == nil {
				s.done.Store(true)
				s.commit <- commitment{c, fds}
			}
		default:
			closeAll(fds)
		}
		if err != nil {
			return err
		}
	}
}

// await takes a value that up sends, or tells that up has gone.
func await[T any](s *session, c <-chan T) (v T, err error) {
	select {
	case v = <-c:
		return v, nil
	default:
	}
	select {
	case v = <-c:
		return v, nil
	case <-s.ended:
		select { // it may have come with the end
		case v = <-c:
			return v, nil
		default:
		}
		if s.err == nil {
			return v, io.EOF
		}
		return v, s.err
	}
}
