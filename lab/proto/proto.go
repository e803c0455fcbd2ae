package proto

import (
	"encoding/json"
	"fmt"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/topology"
)

// Messages between up and the lab init; see the package's drawing.
const (
	Spec wire.Kind = iota + 100
	Fabric
	Node
	Mounts
	Progress
	Booted
	Wired
	Built
	Commit
	Started
	Failed
	// Status asks the control socket for the nodes' states, answered by Reply.
	Status
	// Exec asks the control socket for a command in a node, with the client's stdin, stdout
	// and stderr; the node init answers with wire messages on the same connection.
	Exec
	Reply
	// Pause tells the control socket which nodes are about to be frozen, or are thawed, answered
	// by Reply. Commands are refused to a paused node, whose init would not answer.
	Pause
)

// LabSpec is the body of Spec. Descriptors: the nsnet executable, the device nodes.
type LabSpec struct {
	Lab     topology.Lab
	UserNS  bool   // the lab has a user namespace of its own
	Base    uint32 // first id of the first node, as the lab init sees ids
	Filters [][]byte
	Nodes   []NodeSetup
	Masks   []string

	Assembled bool // nodes' roots come assembled, see container.Setup
}

// NodeSetup is what only up knows of a node.
type NodeSetup struct {
	Caps   uint64
	Filter int // index in Filters, -1: none
	Resolv []byte
	Hosts  []byte
	Layers int // of its image
}

// NodeIndex is the body of Node and Mounts.
type NodeIndex struct {
	Index int
	Dirs  []bool // of Mounts: which binds are directories
}

// ProgressReport is the body of Progress.
type ProgressReport struct {
	Name        string
	Done, Total int
}

// BuiltReport is the body of Built: where the nodes' network namespaces are among the lab
// init's descriptors.
type BuiltReport struct{ NetnsFDs []int }

// CommitSpec is the body of Commit. Descriptors: the listening sockets of the published
// ports, in this order, then, where there is translation, the NAT table's.
type CommitSpec struct{ Ports []PublishedPort }

// PublishedPort is a port of a node that one of the host's sockets leads to.
type PublishedPort struct {
	Node     string
	Port     uint16
	Protocol string
}

// Failure is the body of Failed.
type Failure struct {
	Op, Node, Object, Text string
	Errno                  uint32
	Command                string // of the node that cannot be run, for the reason that Errno is
}

// NodeState is one node in the answer to Status.
type NodeState struct {
	Name       string
	State      string // "idle", "running", "exited" or "dead"
	CommandPID int
	WaitStatus uint32 // of an exited command
	Reason     string
	Paused     bool
}

// PauseRequest is the body of Pause.
type PauseRequest struct {
	Nodes  []string
	Paused bool
}

// ExecRequest is the body of Exec.
type ExecRequest struct {
	Node    string
	Command wire.Command
}

// ExecFailed answers Exec where no node init can: no such node, a dead one, or a paused one.
type ExecFailed struct {
	Text   string
	Paused bool
}

// Send marshals v as the body of a message.
func Send(c *container.Conn, k wire.Kind, v any, fds ...int) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	return c.Send(k, b, fds...)
}

// Decode unmarshals a body.
func Decode(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("decode message: %w", err)
	}
	return nil
}
