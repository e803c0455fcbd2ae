package lab

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/consent"
	"github.com/nsnet/nsnet/lab/execute"
	"github.com/nsnet/nsnet/topology"
)

// Kinds of failure that a caller may tell apart with errors.Is. The command line turns
// each into an exit code of its own.
var (
	ErrNotFound    = errors.New("not found")                    // no such lab, node or bridge of the host
	ErrConflict    = errors.New("conflict")                     // the lab runs with another file, or a name on the host is taken
	ErrPermission  = errors.New("needs root")                   // the caller may not do this
	ErrUnsupported = errors.New("not supported by this kernel") // a kernel feature is missing
	ErrBusy        = errors.New("locked by another nsnet")      // NoWait was given and the lab's lock is held
	ErrNotRunning  = errors.New("not running")                  // the lab's record is there, its processes are gone
	ErrPaused      = errors.New("the node is paused")           // its processes are frozen
	ErrStuck       = errors.New("it cannot be killed")          // processes that have survived SIGKILL

	ErrNotAnswering = errors.New("its init does not answer") // a lab's, which lives, but was stopped or is stuck

	ErrNoCommandToRun = errors.New("there is no command") // of an idle node, which Stop, Start and Restart are about

	ErrNoCommand     = errors.New("command not found")     // of a node, or of Exec
	ErrNotExecutable = errors.New("it cannot be executed") // the same
)

// Error is what every function of this package returns: what was being done, to what,
// why it failed, and what the user can do. Empty fields are left out of the text.
type Error struct {
	Op     string // lower-case verb phrase: "create link"
	Lab    string
	Node   string
	Object string // link, bridge, file, sysctl ...
	Err    error
	Remedy string // one sentence, without a full stop
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Lab != "" {
		fmt.Fprintf(&b, "lab %s: ", e.Lab)
	}
	if e.Node != "" {
		fmt.Fprintf(&b, "node %s: ", e.Node)
	}
	if e.Op != "" {
		b.WriteString(e.Op)
		if e.Object != "" {
			b.WriteString(" " + e.Object)
		}
		b.WriteString(": ")
	} else if e.Object != "" {
		b.WriteString(e.Object + ": ")
	}
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	}
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Step is one report of progress: "create nodes" 12 of 100.
type Step struct {
	Name        string
	Done, Total int
}

// UpOptions are what Up needs to know.
type UpOptions struct {
	// Lab is the lab. Its files of the host are opened where Lab.HostPath says, without following symbolic links: a lab whose paths may have some
	// is to be read with topology.Options.CheckFiles.
	Lab *topology.Lab
	// Allow is what the lab may have of what it asks for (topology.Lab.Asks), besides what its file was allowed before. It is kept for
	// the file that the lab was read from. What nobody allows is a consent.RefusedError, and nothing is done.
	Allow    consent.Given
	Asks     func(consent.Verdict) // may be nil; called before anything is done for a lab that asks for something
	NoWait   bool                  // fail with ErrBusy instead of waiting for the lab's lock
	Progress func(Step)            // may be nil; called from one goroutine
	// StorageDriver makes every union that is made, whatever the file says; one that the lab has and another driver has made
	// is made anew. Empty: the file's, or nsnet's choice.
	StorageDriver string
	// Replace lets a file take over a running lab that another file has made, and what nodes of such a lab keep. Without it that is ErrConflict. A
	// file is known by its path and its owner (topology.Lab.File, Info); labs of no file are taken for one another.
	Replace bool
}

// PlanOptions are what Plan needs to know.
type PlanOptions struct {
	Lab     *topology.Lab
	Replace bool // as in UpOptions
	Untried bool // no node is made, to be ended at once, to find out whether it can be: the file asks for what nobody has allowed
}

// UpResult tells what Up did.
type UpResult struct {
	Name    string        `json:"name"`
	Changed bool          `json:"changed"`           // false: the lab was as the file says
	New     bool          `json:"new"`               // it did not run before
	Actions []Action      `json:"actions,omitempty"` // what was changed of a lab that ran; after a failure, what was to be
	Nodes   int           `json:"nodes"`
	Bridges int           `json:"bridges"`
	Links   int           `json:"links"`
	Elapsed time.Duration `json:"elapsed_ns"`
	Notes   []string      `json:"notes,omitempty"` // what the user should know: "limits are not enforced ..."
	Partly  bool          `json:"-"`               // of a lab that ran, after a failure: something of the change is made, or begun
}

// Action is one line of a plan.
type Action struct {
	Op     string `json:"op"`               // "+", "~" or "-"
	Kind   string `json:"kind"`             // "node", "bridge", "link", "leg", "nat", "route", "limits" ...
	Name   string `json:"name"`             // "web", "web:eth0 -- lan0"
	Detail string `json:"detail"`           // "image host, 192.168.10.11/24"
	Reason string `json:"reason,omitempty"` // why, where that is not in the file: "its init has ended"
	Cost   string `json:"cost,omitempty"`   // of a change: "in place", "link re-made" or "node restarted"
	Until  string `json:"until,omitempty"`  // up fails until this is so: "/srv/x is there", "the host has a bridge br0"
}

// DownOptions are what Down needs to know.
type DownOptions struct {
	Name     string
	Of       *topology.Lab // the file that says the name: a lab that another one has made, or keeps, is ErrConflict; nil: whoever has made it
	NoWait   bool
	Purge    bool // removes what nodes with persist: true keep, too
	Progress func(Step)
}

// DownResult tells what Down did.
type DownResult struct {
	Name    string        `json:"name"`
	Found   bool          `json:"found"` // false: there was nothing to remove, which is no error
	Purged  bool          `json:"purged,omitempty"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

// States of a lab and of a node.
const (
	StateRunning = "running" // a lab; or a node whose command runs
	StateIdle    = "idle"    // a node without a command
	StateExited  = "exited"  // a node whose command has ended; its namespaces and links stay
	StateStopped = "stopped" // a node whose command was stopped by Stop
	// A node whose command waits for nodes it depends on, is about to run, has ended and is started again, or is being stopped.
	StateWaiting    = "waiting"
	StateStarting   = "starting"
	StateRestarting = "restarting"
	StateStopping   = "stopping"
	StatePaused     = "paused" // a node whose processes are frozen, whatever it was before
	StateDead       = "dead"   // processes gone; Sweep cleans up after a lab
)

// StateNotMade is that of a node which the lab's file has and the lab has not: the up that was to make it has failed to, or is at it.
const StateNotMade = "not made"

// StateNotAnswering is that of a lab whose init lives but does not answer, as it was stopped, and of its nodes.
const StateNotAnswering = "not answering"

// Status is what ps and inspect show of a lab.
type Status struct {
	Name    string          `json:"name"`
	State   string          `json:"state"`
	File    string          `json:"file"`
	Created time.Time       `json:"created"`
	InitPID int             `json:"init_pid,omitempty"` // of the lab init, as the host sees it
	Nodes   []NodeStatus    `json:"nodes"`
	Bridges []BridgeStatus  `json:"bridges"`
	Links   []topology.Link `json:"links"`
	Reason  string          `json:"reason,omitempty"` // why it is dead, or does not answer
	Drift   []Action        `json:"drift,omitempty"`  // what up would do for it to be what its file said
	Notes   []string        `json:"notes,omitempty"`  // what a user has to mend on the host: a bridge of it that is down

	Memory    *cgroups.LabMemory `json:"memory,omitempty"`    // of all nodes together; nil: it is not bounded
	Unbounded string             `json:"unbounded,omitempty"` // why not, where the file did not want that
}

// NodeStatus is what ps and inspect show of a node.
type NodeStatus struct {
	Name       string            `json:"name"`
	State      string            `json:"state"`
	PID        int               `json:"pid,omitempty"`         // of the node init, as the host sees it
	CommandPID int               `json:"command_pid,omitempty"` // as the node sees it
	Hostname   string            `json:"hostname"`
	Image      string            `json:"image"`
	Command    []string          `json:"command,omitempty"`
	ExitCode   *int              `json:"exit_code,omitempty"` // 128+signal when killed
	Signal     string            `json:"signal,omitempty"`
	OOMKilled  bool              `json:"oom_killed,omitempty"`        // at the limit of memory: what has ended, by State; where nothing has, some process
	OOMKills   uint64            `json:"oom_kills,omitempty"`         // how many
	MemoryPeak uint64            `json:"memory_peak_bytes,omitempty"` // of a node that has had one killed, where the kernel counts it
	Reason     string            `json:"reason,omitempty"`            // "out of memory: limit 10 MiB, peak 9.9 MiB, 1 process killed", "command not found"
	LastEnd    *LastEnd          `json:"last_end,omitempty"`          // of the command, whatever it does now
	Ready      string            `json:"ready,omitempty"`             // of a node with a check: "waiting", "ready" or "unhealthy"
	CheckSaid  string            `json:"check_output,omitempty"`      // by the last check that failed
	Restarts   int               `json:"restarts,omitempty"`          // by its restart policy, since it was last started by request
	NextTry    *time.Time        `json:"next_try,omitempty"`          // when the command is started again
	UIDBase    uint32            `json:"uid_base"`                    // host id of the node's root; 0 when privileged
	Netns      string            `json:"netns"`
	Limits     topology.Limits   `json:"limits"`
	Published  []string          `json:"published,omitempty"` // those of its ports that the host listens on, as "127.0.0.1:8080/tcp"
	Interfaces []InterfaceStatus `json:"interfaces"`
	Storage    []StorageStatus   `json:"storage"` // the root first, then unions
	// Spec is all that the file says of the node, with defaults filled in and addresses decided.
	Spec topology.Node `json:"spec"`
}

// LastEnd is how a node's command has last ended.
type LastEnd struct {
	At        time.Time `json:"at"`
	ExitCode  int       `json:"exit_code"` // 128+signal when killed
	Signal    string    `json:"signal,omitempty"`
	OOMKilled bool      `json:"oom_killed,omitempty"` // killed, as the node was at its limit of memory
}

// InterfaceStatus is an interface of a node, as the file wants it, or one that was attached.
type InterfaceStatus struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac"`
	MTU       int      `json:"mtu"`
	Addresses []string `json:"addresses"`
	Peer      string   `json:"peer"` // "lan0", or "b:ptp0"
	// Port is the interface at the other end of the cable, in the fabric, or on the host where the bridge is one of the host's.
	Port string `json:"port,omitempty"`
	// PortAlt is one more name of it: NODE.INTERFACE, where that is too long to be the name.
	PortAlt string `json:"port_altname,omitempty"`
	// Attached is one that the file does not know: nsnet attach has made it.
	Attached bool `json:"attached,omitempty"`
	// Learned are addresses that the file does not know: of a DHCP client, a daemon, or set by hand.
	Learned []string `json:"learned,omitempty"`
	// Own is one that was made in the node and is neither the file's nor attached.
	Own bool `json:"own,omitempty"`
}

// BridgeStatus is a bridge of a lab.
type BridgeStatus struct {
	topology.Bridge
	Leg    string `json:"leg,omitempty"`    // the interface in the host's network namespace
	Routed bool   `json:"routed,omitempty"` // it reaches other bridges of the lab with an address through the host
}

// ExecOptions say what to run in a node.
type ExecOptions = execute.Options
