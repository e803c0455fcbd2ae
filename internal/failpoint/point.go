package failpoint

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// point is one entry of NSNET_FAIL.
type point struct {
	name   string
	prefix bool
	left   int // how many such acts are yet to come, this one included
	action action
}

// action is what happens at a point. The zero value is nothing.
type action struct {
	kill  bool
	errno syscall.Errno
	delay time.Duration
}

func (p *point) is(name string) bool {
	return name == p.name || p.prefix && strings.HasPrefix(name, p.name)
}

// parse reads NSNET_FAIL. Names may have any characters but a semicolon: what is behind the last equals sign is
// the action, and a number behind a colon right before that sign the count.
func parse(text string) ([]point, error) {
	var points []point
	for entry := range strings.SplitSeq(text, ";") {
		if entry == "" {
			continue
		}
		at := strings.LastIndexByte(entry, '=')
		if at < 0 {
			return nil, fmt.Errorf("%q is not NAME=ACTION", entry)
		}
		p := point{name: entry[:at], left: 1}
		var err error
		if p.action, err = parseAction(entry[at+1:]); err != nil {
			return nil, fmt.Errorf("%q: %w", entry, err)
		}
		if colon := strings.LastIndexByte(p.name, ':'); colon >= 0 {
			if n, err := strconv.Atoi(p.name[colon+1:]); err == nil && n > 0 {
				p.name, p.left = p.name[:colon], n
			}
		}
		p.name, p.prefix = strings.CutSuffix(p.name, "*")
		points = append(points, p)
	}
	return points, nil
}

func parseAction(text string) (action, error) {
	word, rest, _ := strings.Cut(text, "(")
	arg, closed := strings.CutSuffix(rest, ")")
	switch {
	case text == "kill":
		return action{kill: true}, nil
	case word == "error" && closed:
		for e := syscall.Errno(1); e < 256; e++ {
			if unix.ErrnoName(e) == arg {
				return action{errno: e}, nil
			}
		}
		return action{}, fmt.Errorf("no error is called %q", arg)
	case word == "delay" && closed:
		ms, err := strconv.Atoi(arg)
		if err != nil || ms < 0 {
			return action{}, fmt.Errorf("%q is no number of milliseconds", arg)
		}
		return action{delay: time.Duration(ms) * time.Millisecond}, nil
	}
	return action{}, fmt.Errorf("no action %q: kill, error(ERRNO) or delay(MILLISECONDS)", text)
}
