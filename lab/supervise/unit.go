package supervise

import (
	"syscall"
	"time"
)

// DefaultGrace is how long processes have between SIGTERM and SIGKILL.
const DefaultGrace = 10 * time.Second

// KillWait is how long after SIGKILL processes may be there before they count as stuck.
const KillWait = 5 * time.Second

// Phase is where a node's command is in its life.
type Phase int

// Phases of a Unit.
const (
	Idle       Phase = iota // there is no command
	Waiting                 // for nodes that it depends on
	Starting                // asked for, not yet there
	Running                 //
	Exited                  // and not to be started again
	BackingOff              // to be started again at Deadline
	Stopping                // until none of its processes is left
	Stopped                 // by request
	Dead                    // the node's init is gone
	Unmade                  // the node is to be made, and is not yet or could not be
)

// Action is what the caller has to do.
type Action struct {
	Start  bool           // start the command
	Signal syscall.Signal // send a signal, 0: none
	All    bool           // to all processes of the command, not to its first alone
	Ask    bool           // ask which processes of the command are left, now and each time that some have ended
}

// Unit is one node's command. The zero value is that of an idle node; NewUnit makes others.
type Unit struct {
	Policy   Policy
	Signal   syscall.Signal // asks the command to end; 0: SIGTERM
	Phase    Phase
	PID      int                // in the node, of the running command
	Status   syscall.WaitStatus // of the last end
	Ended    bool               // there was one
	EndedAt  time.Time          // of the last end
	Reason   string             // why the last start failed
	Restarts int                // by policy, since the last start by request
	Ran      bool               // it was started since the last start by request
	Left     []int              // processes, in the node, that are still there while Stopping
	Stuck    bool               // Left have survived SIGKILL, or it is Silent
	Deadline time.Time          // when Tick is due; zero: never

	inRow  int // restarts without a steady run between them
	since  time.Time
	then   Phase // after Stopping
	retry  time.Time
	swept  bool // all processes were told to end
	killed bool
	heard  bool // the node's init has told what is left since it was last asked to end all
}

// NewUnit is a command that waits to be launched.
func NewUnit(p Policy) *Unit { return &Unit{Policy: p, Phase: Waiting} }

// Active tells whether the command runs, or is about to without anybody's request.
func (u *Unit) Active() bool {
	switch u.Phase {
	case Waiting, Starting, Running, BackingOff:
		return true
	case Stopping:
		return u.then != Stopped
	default:
		return false
	}
}

// State is the phase in the words of nsnet ps.
func (u *Unit) State() string {
	switch u.Phase {
	case Idle:
		return "idle"
	case Waiting:
		return "waiting"
	case Starting:
		return "starting"
	case Running:
		return "running"
	case Exited:
		return "exited"
	case BackingOff:
		return "restarting"
	case Stopping:
		if u.then != Stopped {
			return "restarting"
		}
		return "stopping"
	case Stopped:
		return "stopped"
	default:
		return "dead"
	}
}

// Silent reports whether the node's init, which was to kill all that is left, has not said what came of it for so long that the command is Stuck: whether
// there still is any process is not known then.
func (u *Unit) Silent() bool { return u.Stuck && !u.heard }

// Restarting tells whether the command has ended and is about to be started again by its policy.
func (u *Unit) Restarting() bool {
	return u.Phase == BackingOff || u.Phase == Stopping && u.then == BackingOff
}

// Retry is when the command is started again, zero unless it is Restarting.
func (u *Unit) Retry() time.Time {
	if !u.Restarting() {
		return time.Time{}
	}
	return u.retry
}

// Failed tells whether the command's last end was not with exit code 0.
func (u *Unit) Failed() bool { return u.Status != 0 }

// Launch starts a command that waits.
func (u *Unit) Launch() []Action {
	if u.Phase != Waiting {
		return nil
	}
	return u.start()
}

func (u *Unit) start() []Action {
	u.Phase, u.Deadline, u.Reason, u.Left, u.Stuck = Starting, time.Time{}, "", nil, false
	return []Action{{Start: true}}
}

// Start is a request to start the command, at once or, with await, when the nodes that it depends on allow.
func (u *Unit) Start(now time.Time, await bool) []Action {
	next := Starting
	if await {
		next = Waiting
	}
	switch u.Phase {
	case Waiting, Stopped, BackingOff:
		u.fresh()
		u.Phase, u.Deadline = Waiting, time.Time{}
		if await {
			return nil
		}
		return u.Launch()
	case Exited:
		u.fresh()
		return u.end(now, DefaultGrace, next, false)
	case Stopping:
		u.fresh()
		u.then = next
	}
	return nil
}

// fresh forgets what happened before a request.
func (u *Unit) fresh() { u.Restarts, u.inRow, u.Ran = 0, 0, false }

// Stop is a request to end the command, by its signal, and then all that it has started, by SIGTERM, and after grace by SIGKILL. It holds
// until the next request to start.
func (u *Unit) Stop(now time.Time, grace time.Duration) []Action {
	switch u.Phase {
	case Waiting, BackingOff:
		u.Phase, u.Deadline = Stopped, time.Time{}
	case Starting, Running:
		return u.end(now, grace, Stopped, true)
	case Exited:
		return u.end(now, grace, Stopped, false)
	case Stopping:
		u.then = Stopped
		if end := now.Add(grace); !u.killed && end.Before(u.Deadline) {
			u.Deadline = end
		}
	}
	return nil
}

// Restart is a request to stop and start the command at once; one that does not run is just started.
func (u *Unit) Restart(now time.Time, grace time.Duration) []Action {
	if u.Phase == Starting || u.Phase == Running {
		u.fresh()
		return u.end(now, grace, Starting, true)
	}
	return u.Start(now, false)
}

// end begins Stopping. The command is told first when it runs, so that it can end what it has started in its own way.
func (u *Unit) end(now time.Time, grace time.Duration, then Phase, runs bool) []Action {
	u.Phase, u.then, u.Deadline, u.swept, u.killed, u.Stuck, u.heard = Stopping, then, now.Add(grace), !runs, false, false, false
	signal := syscall.SIGTERM
	if runs && u.Signal != 0 {
		signal = u.Signal
	}
	return []Action{{Signal: signal, All: !runs}}
}

// Started tells that the command runs.
func (u *Unit) Started(now time.Time, pid int) {
	u.PID, u.since, u.Ran = pid, now, true
	if u.Phase == Starting {
		u.Phase = Running
	}
}

// End tells that the command has ended, or with a reason that it could not be started.
func (u *Unit) End(now time.Time, status syscall.WaitStatus, reason string) []Action {
	u.PID, u.Status, u.Ended, u.EndedAt, u.Reason = 0, status, true, now, reason
	switch u.Phase {
	case Stopping:
		if u.swept {
			return nil
		}
		u.swept = true
		return []Action{{Signal: u.stopSignal(), All: true}}
	case Starting, Running:
		if reason == "" && now.Sub(u.since) >= Steady {
			u.inRow = 0
		}
		if !u.Policy.Again(u.Failed(), u.inRow) {
			u.Phase, u.Deadline = Exited, time.Time{}
			return nil
		}
		u.retry = now.Add(Delay(u.inRow))
		u.inRow++
		return u.end(now, DefaultGrace, BackingOff, false)
	}
	return nil
}

func (u *Unit) stopSignal() syscall.Signal {
	if u.killed {
		return syscall.SIGKILL
	}
	return syscall.SIGTERM
}

// Remain tells which processes of the command are left while it is Stopping, as the node's init sees them.
func (u *Unit) Remain(pids []int) []Action {
	if u.Phase != Stopping {
		return nil // an answer that has crossed with the last process's end
	}
	u.Left, u.heard = pids, true
	if len(pids) > 0 || u.PID != 0 {
		return nil
	}
	u.Deadline, u.Stuck = time.Time{}, false
	switch u.then {
	case Starting:
		return u.start()
	case BackingOff:
		u.Phase, u.Deadline = BackingOff, u.retry
	default:
		u.Phase = u.then
	}
	return nil
}

// Tick tells that Deadline has come.
func (u *Unit) Tick(now time.Time) []Action {
	if u.Deadline.IsZero() || now.Before(u.Deadline) {
		return nil
	}
	u.Deadline = time.Time{}
	switch u.Phase {
	case BackingOff:
		u.Restarts++
		return u.start()
	case Stopping:
		if u.killed {
			u.Stuck = true
			return nil
		}
		u.killed, u.swept, u.heard, u.Deadline = true, true, false, now.Add(KillWait)
		return []Action{{Signal: syscall.SIGKILL, All: true}}
	}
	return nil
}

// Die tells that the node's init has ended, and every process of the node with it.
func (u *Unit) Die() {
	u.Phase, u.PID, u.Deadline, u.Left, u.Stuck = Dead, 0, time.Time{}, nil, false
}
