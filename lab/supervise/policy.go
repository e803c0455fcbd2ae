package supervise

import "time"

// The back-off of restarts. A command that has run for Steady begins anew.
const (
	FirstDelay = 100 * time.Millisecond
	MaxDelay   = time.Minute
	Steady     = 10 * time.Second
)

// Mode is which ends of a command are followed by a further start.
type Mode int

// Modes of a Policy.
const (
	Never Mode = iota
	OnFailure
	Always
)

// Policy says whether a command is started again after its end.
type Policy struct {
	Mode Mode
	Max  int // of OnFailure: starts in a row, 0: without a bound
}

// Again tells whether a command that has failed, or not, is started again after so many restarts in a row.
func (p Policy) Again(failed bool, restarts int) bool {
	switch p.Mode {
	case Always:
		return true
	case OnFailure:
		return failed && (p.Max == 0 || restarts < p.Max)
	default:
		return false
	}
}

// Delay is how long after a command's end it is started again, after so many restarts in a row: FirstDelay doubled
// each time, at most MaxDelay.
func Delay(restarts int) time.Duration {
	d := FirstDelay
	for range restarts {
		if d *= 2; d >= MaxDelay {
			return MaxDelay
		}
	}
	return d
}
