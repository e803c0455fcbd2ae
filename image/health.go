package image

import (
	"slices"
	"time"

	"github.com/nsnet/nsnet/topology"
)

// What Docker takes where a check does not say it.
const (
	defaultInterval = 30 * time.Second
	defaultTimeout  = 30 * time.Second
	defaultRetries  = 3
)

// Bounds of what an image may say: of nobody's need, and so that sums of them are numbers.
const (
	leastInterval = 10 * time.Millisecond
	mostTime      = 24 * time.Hour
	mostRetries   = 1000
)

// parsed is counted up when Config gets a key, so that configurations are read again.
const parsed = 1

// healthcheck is HEALTHCHECK in a configuration as Docker writes it; times are nanoseconds, 0 is the default.
type healthcheck struct {
	Test                           []string
	Interval, Timeout, StartPeriod int64
	Retries                        int
}

// public returns the check, or nil where there is none: NONE, or a kind that nobody knows.
func (h *healthcheck) public(shell []string) *Health {
	if h == nil || len(h.Test) < 2 {
		return nil
	}
	var argv []string
	switch h.Test[0] {
	case "CMD":
		argv = h.Test[1:]
	case "CMD-SHELL":
		if argv = append(slices.Clone(shell), h.Test[1]); len(shell) == 0 {
			argv = topology.ShellCommand(h.Test[1])
		}
	default:
		return nil
	}
	milliseconds := func(nanoseconds int64, unless, least time.Duration) int64 {
		d := time.Duration(nanoseconds)
		if d <= 0 {
			d = unless
		}
		return min(max(d, least), mostTime).Milliseconds()
	}
	retries := h.Retries
	if retries <= 0 {
		retries = defaultRetries
	}
	return &Health{Exec: argv, IntervalMS: milliseconds(h.Interval, defaultInterval, leastInterval), TimeoutMS: milliseconds(h.Timeout, defaultTimeout, time.Millisecond),
		StartPeriodMS: milliseconds(h.StartPeriod, 0, 0), Retries: min(retries, mostRetries)}
}

// exported is the check as Docker writes it.
func (h *Health) exported() map[string]any {
	nanoseconds := func(ms int64) int64 { return (time.Duration(ms) * time.Millisecond).Nanoseconds() }
	return map[string]any{"Test": append([]string{"CMD"}, h.Exec...), "Interval": nanoseconds(h.IntervalMS), "Timeout": nanoseconds(h.TimeoutMS),
		"StartPeriod": nanoseconds(h.StartPeriodMS), "Retries": h.Retries}
}
