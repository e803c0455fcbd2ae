package supervise

import (
	"syscall"
	"time"
)

// End tells that the node's command has ended, or with a reason that it could not be started. A
// command with a check that has ended with exit code 0 may have gone into the background: it goes on
// being checked until Remain tells that nothing is left of it.
func (n Node) End(now time.Time, status syscall.WaitStatus, reason string) []Action {
	actions := n.Unit.End(now, status, reason)
	if n.mayGoOn() {
		return append(actions, Action{Ask: true})
	}
	n.endHealth()
	return actions
}

// Remain tells which processes of the command are left, as the node's init sees them.
func (n Node) Remain(pids []int) []Action {
	if len(pids) == 0 && n.mayGoOn() {
		n.endHealth()
		return nil
	}
	return n.Unit.Remain(pids)
}

// Recheck tells that the node has another check from now on.
func (n Node) Recheck(now time.Time) []Action {
	n.Health.Reset(now)
	switch {
	case n.Unit.Phase == Running, n.Unit.Phase == Idle:
		n.Health.Begin(now)
	case n.mayGoOn():
		n.Health.Begin(now)
		return []Action{{Ask: true}}
	}
	return nil
}

// mayGoOn reports whether the command has ended in a way that may have left a daemon to be checked.
func (n Node) mayGoOn() bool {
	return n.Unit.Phase == Exited && !n.Unit.Failed() && n.Health.State != NoCheck
}

// endHealth tells the check why there is nothing to look at.
func (n Node) endHealth() {
	why := n.Unit.Reason
	if why == "" {
		why = "the command has ended " + EndText(n.Unit)
	}
	n.Health.End(why, n.Unit.Restarting())
}
