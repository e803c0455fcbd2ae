package topology

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Real-time signals as the C library counts them, which keeps the two below for itself (signal(7)).
const (
	firstRealTime = 34
	lastRealTime  = 64
)

// signalNames are the signals of Linux from 1 on, on amd64 and arm64, without SIG.
func signalNames() []string {
	return []string{
		"HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT",
		"CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
	}
}

// ParseSignal returns the number of a signal: QUIT, SIGQUIT or 3, in either case, or SIGRTMIN+1 or SIGRTMAX-1.
func ParseSignal(s string) (int, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > lastRealTime {
			return 0, fmt.Errorf("is no signal: they are numbered from 1 to %d", lastRealTime)
		}
		return n, nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	names := signalNames()
	for i, known := range names {
		if name == known {
			return i + 1, nil
		}
	}
	if n, ok := realTime(name); ok {
		return n, nil
	}
	return 0, errors.New("is no signal" + didYouMean(name, names))
}

// realTime understands RTMIN, RTMIN+N, RTMAX-N and RTMAX.
func realTime(name string) (int, bool) {
	switch name {
	case "RTMIN":
		return firstRealTime, true
	case "RTMAX":
		return lastRealTime, true
	}
	from, up := firstRealTime, true
	text, ok := strings.CutPrefix(name, "RTMIN+")
	if !ok {
		from, up = lastRealTime, false
		text, ok = strings.CutPrefix(name, "RTMAX-")
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if !ok || err != nil || n > lastRealTime-firstRealTime {
		return 0, false
	}
	if up {
		return from + int(n), true
	}
	return from - int(n), true
}

// SignalName returns the name of a signal that ParseSignal knows: SIGQUIT.
func SignalName(n int) string {
	names := signalNames()
	switch {
	case n >= 1 && n <= len(names):
		return "SIG" + names[n-1]
	case n == firstRealTime:
		return "SIGRTMIN"
	case n > firstRealTime && n <= lastRealTime:
		return "SIGRTMIN+" + strconv.Itoa(n-firstRealTime)
	}
	return strconv.Itoa(n)
}

// stopSignal takes the signal that asks a node's command to end.
func (d *decoder) stopSignal(n *yaml.Node) opt[string] {
	s, ok := d.text(n, "stop_signal")
	if !ok {
		return opt[string]{}
	}
	number, err := ParseSignal(s)
	if err != nil {
		d.errorf(n, "stop_signal %q %v", s, err)
		return opt[string]{}
	}
	return opt[string]{SignalName(number), n}
}
