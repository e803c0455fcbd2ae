package execute

import (
	"encoding/json"
	"fmt"
	"syscall"

	"github.com/nsnet/nsnet/container/wire"
)

// Kinds of messages of a lab init's control socket, as package proto has them among all others.
const (
	Ask    wire.Kind = 112 // a Request, with the descriptors that its streams ask for
	Refuse wire.Kind = 110 // a Refused
)

// Request is the body of Ask.
type Request struct {
	Node    string
	Command Command
}

// Command is one whose arguments and variables may be of any bytes, which JSON's strings are not: it is encoded as for a node's init.
type Command wire.Command

// MarshalJSON implements json.Marshaler.
func (c Command) MarshalJSON() ([]byte, error) {
	var w wire.Writer
	(*wire.Command)(&c).Encode(&w)
	return json.Marshal(w.Bytes())
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *Command) UnmarshalJSON(b []byte) error {
	var body []byte
	if err := json.Unmarshal(b, &body); err != nil {
		return err
	}
	r := wire.NewReader(body)
	if *c = Command(wire.DecodeCommand(r)); r.Bad {
		return fmt.Errorf("a command of %d bytes that is none", len(body))
	}
	return nil
}

// Refused is the answer where no node init can: no such node, a dead one, or a paused one.
type Refused struct {
	Text   string
	Paused bool
	Dead   bool // the node's init has ended
	Unmade bool // there is no such node
}

func (r *Refused) Error() string { return r.Text }

// NotStarted is what a node's init says of a command that could not be started.
type NotStarted struct{ wire.Failure }

func (n *NotStarted) Error() string { return n.Text + ": " + syscall.Errno(n.Errno).Error() }

// Error is a failure on this side, or of the conversation.
type Error struct {
	Op  string
	Err error
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }
