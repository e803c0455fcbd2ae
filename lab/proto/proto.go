package proto

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/internal/announce"
	"github.com/nsnet/nsnet/lab/execute"
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
	// Change opens, on the control socket, a change of the running lab; see the package's drawing.
	Change
	// Removed tells that the nodes which a change removes have ended.
	Removed
	// Pause tells the control socket which nodes are about to be frozen, or are thawed, answered
	// by Reply. Commands are refused to a paused node, whose init would not answer.
	Pause
	// Uppers asks the control socket for a node's writable layers, answered by Reply with a descriptor for each.
	Uppers
	// Control asks the control socket to stop, start or restart the commands of nodes, answered by Reply when that is done.
	Control
	// Await asks the control socket to tell by Reply when all nodes are ready, or that one of them does not become so.
	Await
	// Settled tells the control socket that the lab was found to be as its file says. It has no answer.
	Settled
	// Kill asks the control socket to signal commands of nodes, answered by Reply.
	Kill
	// Announce asks the control socket to tell neighbours where addresses of nodes are, answered by Reply when that is done.
	Announce
	// Try asks the control socket to make nodes for a moment, beside those of the same names; see the package's drawing. A lab init of an
	// older nsnet does not know it and hangs up.
	Try
	Tried
	// Charged tells the control socket where the kernel counts what it kills of a node for its memory, as a descriptor, and what nsnet has killed
	// for it, answered by Reply. A lab init of an older nsnet does not know it and hangs up.
	Charged
)

// LabSpec is the body of Spec. Descriptors: the nsnet executable, the device nodes, the /etc/hosts of
// the nodes' common layers.
type LabSpec struct {
	Lab    topology.Lab
	UserNS bool   // the lab has a user namespace of its own
	Base   uint32 // first id of the first node, as the lab init sees ids
	Owner  uint32 // the id that the first node is counted for, and the others' follow, as the lab init sees ids
	Slots  int    // how many nodes the lab has ids for
	Nodes  []NodeSetup
	Common Common
}

// Common is what setups of nodes have in common.
type Common struct {
	Filters [][]byte
	Masks   []string
}

// NodeSetup is what only up knows of a node.
type NodeSetup struct {
	Caps   uint64
	Filter int // index in Filters, -1: none
	Resolv []byte
	Hosts  []byte
	IPC    [][2]string // see container.Setup; unless NodeIndex.IPCSet
	Above  int         // layers between the common one and the image
	Layers int         // of its image
	Apart  bool        // see container.Setup

	// Digest stands for what a node is started with and cannot be changed in a running one;
	// Command for what its command is started with.
	Digest, Command string

	Assembled bool // its root comes assembled, see container.Setup
	Tried     bool `json:",omitempty"` // it is made to be ended at once, see container.Setup

	Made Made
}

// TrySpec is the body of Try: nodes that are to take the place of others.
type TrySpec struct {
	Nodes  []topology.Node
	Setups []NodeSetup
	Common Common
}

// TriedReport is the body of Tried: why nodes could not be made, of those that could not.
type TriedReport struct {
	Failed []Failure `json:",omitempty"`
}

// Made is what up has found or chosen for a node when it was started, and the file does not say: what became of it is
// compared with that.
type Made struct {
	Images  map[string]string // IDs of the images of the store that it runs from, by their names
	Storage []Storage         // how its root, then its unions are made of their layers
	// Processes is how many the node may have in all from its start to its end; 0: it is not bounded, or an older nsnet does not say. The
	// lab's init fills it in.
	Processes uint64            `json:",omitempty"`
	Dirs      map[string]string `json:",omitempty"` // which directories of the host it is made of, by their paths
}

// Storage is how a tree of a node is made of its layers.
type Storage struct {
	Path    string // "/" is the root
	Driver  string
	Why     string
	Persist bool
	Asked   bool // the file says so
}

// NodeIndex is the body of Node and Mounts: a node by its place among those that are started.
type NodeIndex struct {
	Index int
	Slot  int    // of Node: which of the lab's ranges of ids it has
	Dirs  []bool // of Mounts: which binds are directories
	PID   int    // of Mounts: of the node's init, as up sees it

	Uppers []string // of Mounts: whose writable layers the last descriptors are, by paths in the node
	Held   int      // of Mounts: how many descriptors come behind those, which are held for as long as the node lives
	// Served are unions that have servers, by paths in the node, of Mounts: the last of the held descriptors are pipes, one
	// for each, that are hung up when the server ends.
	Served []string `json:",omitempty"`
	Lost   bool     `json:",omitempty"` // of Mounts: there are none, as up could not prepare them
	IPCSet bool     `json:",omitempty"` // of Mounts: NodeSetup.IPC has been set
	// Charged tells, of Mounts, that the first of the held descriptors is where the kernel counts what it kills of the node for its memory.
	Charged bool `json:",omitempty"`
}

// ChangeSpec is the body of Change: nodes that end, nodes that are started, and what
// those that stay are from now on. Descriptors: the /etc/hosts of the new nodes' common layers.
type ChangeSpec struct {
	Remove   []string
	Add      []topology.Node
	Setups   []NodeSetup // of Add
	Common   Common
	Keep     []topology.Node
	Order    []string // of all nodes, afterwards
	Kept     bool     // a last descriptor is the lock of what nodes keep
	Table    bool     // the lab's table is another one from Commit on, or none; an older lab init gives it up at once
	OwnHosts []string // nodes whose /etc/hosts is, or becomes, their own
	Close    []string // published ports, by their Key; those that come with Commit may need their addresses
	Partly   bool     // nodes of Add that cannot be prepared are left out; an older lab init makes all or none
}

// BootedReport is the body of Booted in a change.
type BootedReport struct {
	LabState
	Lost []Failure `json:",omitempty"` // why nodes are left out, see ChangeSpec
}

// ProgressReport is the body of Progress.
type ProgressReport struct {
	Name        string
	Done, Total int
}

// CommitSpec is the body of Commit. Descriptors: the listening sockets of the published
// ports, in this order, then, where there is a new one, the socket of the lab's table, then those of the tables of Transit and, with
// IPv4 among these, the one that bridge.AwaitOthers reads.
type CommitSpec struct {
	Ports    []PublishedPort
	Retarget []PublishedPort   // of a running lab, those that lead elsewhere
	Transit  []string          `json:",omitempty"` // that the host is to forward for labs alone
	Open     []string          `json:",omitempty"` // families of which these tables are given up
	Commands map[string]string // what stands for nodes' commands, where they are others now
}

// PublishedPort is a port of a node that one of the host's sockets leads to.
type PublishedPort struct {
	Node     string
	Port     uint16
	Protocol string
	Key      string // "127.0.0.1:8080/tcp"
	Targets  []netip.AddrPort
}

// StartedReport is the body of Started: the commands that could not be started, each with its node, of those that wait for no other node.
type StartedReport struct {
	Refused []Failure `json:",omitempty"`
}

// Failure is the body of Failed.
type Failure struct {
	Op, Node, Object, Text string
	Errno                  uint32
	Command                string // of the node that cannot be run, for the reason that Errno is
}

// NodeState is one node in the answer to Status. Most of it is empty for most nodes, of which there may be many.
type NodeState struct {
	Name       string
	State      string `json:",omitempty"` // see lab's
	CommandPID int    `json:",omitempty"`
	WaitStatus uint32 `json:",omitempty"` // of the last end of the command or, of a dead node, of its init
	Ended      bool   `json:",omitempty"` // there was one
	EndedAt    int64  `json:",omitempty"` // when the command has last ended, Unix time in nanoseconds
	Reason     string `json:",omitempty"`
	OOMKilled  bool   `json:",omitempty"` // the command's last end was for want of memory
	Stays      string `json:",omitempty"` // why a dead node's links are not down
	Restarts   int    `json:",omitempty"` // since the last start by request
	Retry      int64  `json:",omitempty"` // when the command is started again, Unix time in nanoseconds, 0: it is not
	Ready      string `json:",omitempty"` // "", "waiting", "ready" or "unhealthy"
	Output     string `json:",omitempty"` // of the last check that failed
	Paused     bool   `json:",omitempty"`

	Slot    int      `json:",omitempty"` // which of the lab's ranges of ids it has
	PID     int      `json:",omitempty"` // of its init, as up saw it
	Netns   int      `json:",omitempty"` // the lab init's descriptor of its network namespace
	Digest  string   `json:",omitempty"` // see NodeSetup
	Command string   `json:",omitempty"`
	Hosts   bool     `json:",omitempty"` // its /etc/hosts is its own, and not its common layer's
	Fresh   bool     `json:",omitempty"` // its command was never started: the change that made it was broken off
	Made    Made     `json:",omitzero"`
	Lost    []string `json:",omitempty"` // unions whose servers have ended, by their paths
	Quiet   bool     `json:",omitempty"` // nothing has changed in its network namespace since all was as the file says

	Spec *topology.Node `json:",omitempty"` // as the last up has it; of a node that was asked for by its name
}

// AnnounceRequest is the body of Announce: interfaces whose neighbours are to be told where their addresses are, by node.
type AnnounceRequest struct {
	Nodes map[string][]announce.Interface
}

// AnnounceReply is the answer: why it failed, or nothing.
type AnnounceReply struct{ Failed string }

// StatusRequest is the body of Status.
type StatusRequest struct {
	Settled bool   // when no change is under way: one whose up was killed is broken off moments later
	Node    string `json:",omitempty"` // of this node alone, with its Spec, and nothing of the lab
}

// LabState is the answer to Status.
type LabState struct {
	Nodes   []NodeState
	Ports   []string // keys of the published ones
	Table   bool     // the lab has a table in the host's network namespace
	Transit []string `json:",omitempty"` // of which it has tables, see CommitSpec
	IPv6    bool     // new network namespaces have it
	Fabric  int      `json:",omitempty"` // the lab init's descriptor of its own network namespace; 0 of one that has none
	Hosts   []int    // the lab init's descriptors of /etc/hosts of the nodes' common layers
	Quiet   bool     // nothing has changed in the fabric since all was as the file says, but for
	Touched []int    // these of its interfaces, by index
	Turn    uint64   // number of this answer, see SettledNote
}

// SettledNote is the body of Settled.
type SettledNote struct{ Turn uint64 } // of the state that was known before the look at the lab

// ChargedNote is the body of Charged.
type ChargedNote struct {
	Node   string
	Killed uint64 // processes, by nsnet, to get below a new limit
	Since  int64  // when it began to, Unix time in nanoseconds
}

// PauseRequest is the body of Pause.
type PauseRequest struct {
	Nodes  []string
	Paused bool
}

// UppersRequest is the body of Uppers.
type UppersRequest struct{ Node string }

// UppersReply answers Uppers. Descriptors: the directories, O_PATH, in this order; "/" is the root's.
type UppersReply struct{ Paths []string }

// Operations of ControlRequest.
const (
	OpStop    = "stop"
	OpStart   = "start"
	OpRestart = "restart"
)

// ControlRequest is the body of Control.
type ControlRequest struct {
	Op      string
	Nodes   []string
	Ordered bool          // nodes wait for each other as the file says
	Grace   time.Duration // between SIGTERM and SIGKILL
	ByUp    bool          // those that restart are others than before
	// Digests are those of the commands that restart, by node, where they are others. An older lab init has them from Commit.
	Digests map[string]string `json:",omitempty"`
}

// ControlReply answers Control.
type ControlReply struct{ Nodes []Controlled }

// Controlled is what became of one node.
type Controlled struct {
	Node    string
	Changed bool
	Stuck   []int  // processes, as the node sees them, that have survived SIGKILL
	Silent  bool   `json:",omitempty"` // its init has not said what is left since it was to send that
	Failed  string // why it is not as it was asked to be
	Errno   uint32
}

// KillRequest is the body of Kill.
type KillRequest struct {
	Nodes  []string
	Signal int
}

// KillReply answers Kill.
type KillReply struct {
	Ended  []string // those of the nodes whose command did not run
	Silent []string `json:",omitempty"` // those whose inits have not said that the signal is sent
}

// AwaitRequest is the body of Await.
type AwaitRequest struct {
	Timeout time.Duration // 0: none
	Nodes   []string      // none: all
	Ended   bool          // that their commands have ended, and not that they are ready
}

// AwaitReply answers Await: the nodes that are not ready, or have not ended. There are none when all are; else the first is one that
// does not become so, unless the time was over.
type AwaitReply struct {
	TimedOut bool
	Unready  []Unready
}

// Unready is a node that is not ready.
type Unready struct {
	Node, Why string
	Failed    bool   // it does not become so by itself
	Check     string // "tcp 80"
	Output    string // of the last check that failed
}

// ExecRequest is the body of Exec.
type ExecRequest = execute.Request

// ExecFailed answers Exec where no node init can, as Failed.
type ExecFailed = execute.Refused

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
