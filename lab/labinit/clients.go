package labinit

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/proto"
)

const (
	// clientTime is how long a client of the control socket may take, where there are many, to say what it wants, and to take the answer.
	clientTime = time.Minute
	// attendedCost is more descriptors than any request takes for as long as the lab init is at it: an exec's socket and streams, all of them twice.
	attendedCost = 12
	// mostAttended and mostWaiting bound clients where the process may have many descriptors.
	mostAttended = 256
	mostWaiting  = 4096
)

// clients bounds how many connections to the control socket are attended to, so that none takes what the others need. Who comes when all places
// are taken is in the kernel's queue until one is free, which a client that says nothing, or takes no answer, has for clientTime. Those that are to wait for
// something, which may never come, have places of their own.
type clients struct {
	attended chan struct{}
	waiting  atomic.Int64
	most     int64 // of those that wait
	time     time.Duration
}

// newClients has so many descriptors for clients: a half for those attended to, a quarter for those that wait.
func newClients(descriptors int) *clients {
	return &clients{attended: make(chan struct{}, min(max(descriptors/2/attendedCost, 2), mostAttended)),
		most: int64(min(max(descriptors/4, 2), mostWaiting)), time: clientTime}
}

// client is one connection to the control socket.
type client struct {
	*container.Conn
	u     *net.UnixConn
	of    *clients
	waits bool
	timed bool
}

// admit waits for a place. Half of the places are let without a time, as a timer costs each command a wake-up of the lab init: one half
// always comes free.
func (c *clients) admit(u *net.UnixConn) *client {
	c.attended <- struct{}{}
	timed := len(c.attended) > cap(c.attended)/2
	if timed {
		_ = u.SetReadDeadline(time.Now().Add(c.time))
	}
	return &client{Conn: container.FromUnix(u), u: u, of: c, timed: timed}
}

// receive takes what the client wants.
func (c *client) receive() (wire.Kind, []byte, []int, error) {
	k, body, fds, err := c.Receive()
	if c.timed {
		_ = c.SetReadDeadline(time.Time{})
	}
	return k, body, fds, err
}

// hurry has the client take what follows in time.
func (c *client) hurry() {
	if c.timed || c.waits {
		_ = c.u.SetWriteDeadline(time.Now().Add(c.of.time))
	}
}

// leave closes the connection and frees the place.
func (c *client) leave() {
	_ = c.Close()
	if c.waits {
		c.of.waiting.Add(-1)
	} else {
		<-c.of.attended
	}
}

// wait frees the place of a client that is to wait for long, or refuses it.
func (c *client) wait() bool {
	if n := c.of.waiting.Add(1); n > c.of.most {
		c.of.waiting.Add(-1)
		_ = c.fail(proto.ExecFailed{Text: fmt.Sprintf("%d other commands wait for something in this lab already", n-1)})
		return false
	}
	c.waits = true
	<-c.of.attended
	return true
}

// reply answers, if the client takes it in time.
func (c *client) reply(v any, fds ...int) {
	c.hurry()
	_ = proto.Send(c.Conn, proto.Reply, v, fds...)
}

// fail tells the client why not.
func (c *client) fail(v any) error {
	c.hurry()
	return proto.Send(c.Conn, proto.Failed, v)
}
