package supervise

import "time"

// The time to the first check after a start, which doubles until the node is ready, and the most that it becomes.
const (
	FirstCheck = 50 * time.Millisecond
	SlowCheck  = time.Second
)

// Probe is how a check is made.
type Probe struct {
	Interval    time.Duration // between checks of a node that was ready once
	StartPeriod time.Duration // from the first start, in which failed checks do not count
	Retries     int           // failed checks in a row that make it unhealthy
	Passive     bool          // it is not looked, its success is told
}

// Health is what checks have said about a node. The zero value is that of a node without a check.
type Health struct {
	Probe   *Probe
	State   HealthState
	Output  string    // of the last check that failed
	Due     time.Time // of the next look, zero: none
	checks  bool      // there is something to look at: the command, or what it has left in the background
	limit   time.Time // end of the start period
	wait    time.Duration
	failed  int
	wasGood bool
	looking bool // a check is under way
	early   bool // it has begun before Doubt
	doubted bool // that it is unhealthy was found out before Doubt
}

// HealthState is whether a node is ready.
type HealthState int

// States of Health.
const (
	NoCheck HealthState = iota
	Checking
	Ready
	Unhealthy
)

// String is the state in the words of nsnet ps, empty without a check.
func (s HealthState) String() string {
	switch s {
	case Checking:
		return "waiting"
	case Ready:
		return "ready"
	case Unhealthy:
		return "unhealthy"
	default:
		return ""
	}
}

// NewHealth is for a node with a check, which has not started.
func NewHealth(p Probe) *Health { return &Health{Probe: &p, State: Checking} }

// Reset tells that a node was asked to start: its start period begins.
func (h *Health) Reset(now time.Time) {
	if h.Probe == nil {
		return
	}
	h.State, h.Output, h.failed, h.checks, h.wasGood = Checking, "", 0, false, false
	h.looking, h.early, h.doubted = false, false, false
	h.limit, h.Due = now.Add(h.Probe.StartPeriod), time.Time{}
}

// Begin tells that the node's command runs. What was known before its last end counts no more.
func (h *Health) Begin(now time.Time) {
	if h.Probe == nil {
		return
	}
	h.checks, h.wait, h.failed = true, FirstCheck, 0
	h.looking, h.early = false, false
	if h.State == Ready {
		h.State = Checking
	}
	if h.limit.IsZero() || h.wasGood {
		h.limit, h.wasGood = now.Add(h.Probe.StartPeriod), false
	}
	if h.Due = h.limit; !h.Probe.Passive {
		h.Due = now.Add(h.wait)
	}
}

// End tells that the command has ended, and why the node cannot be ready. With again it is to be started once more, in
// what is left of its start period.
func (h *Health) End(why string, again bool) {
	if h.Probe == nil {
		return
	}
	h.checks, h.Due = false, time.Time{}
	if h.State == Ready {
		h.State = Checking
		h.limit = time.Time{}
	}
	h.Output = why
	if again && h.State == Checking {
		h.Due = h.limit
	}
}

// Goes reports whether the node is being checked.
func (h *Health) Goes() bool { return h.checks }

// Look tells, when Due has come, whether a check is to be made now. Where there is nothing to look at, the time for it to
// become ready is over.
func (h *Health) Look(now time.Time) bool {
	if h.Due.IsZero() || now.Before(h.Due) {
		return false
	}
	h.Due = time.Time{}
	if h.checks && !h.Probe.Passive {
		h.looking = true
		return true
	}
	if h.State == Checking {
		h.State = Unhealthy
	}
	h.doubted = false
	return false
}

// Doubt tells that somebody waits who may have mended what made the node unhealthy: it is not taken for that until as many checks as before
// have failed that begin from now on or, where there is nothing to look at, another start period is over. What is shown of it stays.
func (h *Health) Doubt(now time.Time) {
	if h.State != Unhealthy {
		return
	}
	h.doubted, h.early, h.failed, h.limit = true, h.looking, 0, now.Add(h.Probe.StartPeriod)
	if !h.checks || h.Probe.Passive {
		h.Due = h.limit
	}
}

// Result tells what a check has said, and when the next is due.
func (h *Health) Result(now time.Time, good bool, output string) {
	if h.Probe == nil || !h.checks {
		return // of a command that has ended meanwhile
	}
	h.Due = time.Time{}
	early := h.early
	h.looking, h.early = false, false
	if good {
		h.State, h.failed, h.wasGood, h.Output, h.doubted = Ready, 0, true, "", false
	} else {
		h.Output = output
		if !early && (h.wasGood || !now.Before(h.limit)) {
			h.failed++
		}
		if h.failed >= h.Probe.Retries {
			h.State, h.doubted = Unhealthy, false
		}
	}
	if h.Probe.Passive {
		return
	}
	wait := h.Probe.Interval
	if !h.wasGood {
		h.wait = min(2*h.wait, SlowCheck)
		wait = min(h.wait, wait)
	}
	h.Due = now.Add(wait)
}

// Postpone tells that no check could be made, as the node is paused.
func (h *Health) Postpone(now time.Time) {
	if h.Probe != nil && h.checks {
		h.looking, h.Due = false, now.Add(h.Probe.Interval)
	}
}
