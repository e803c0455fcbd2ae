package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nsnet/nsnet/lab"
)

func TestCommandResult(t *testing.T) {
	for _, c := range []struct {
		nodes      []string
		name, node string
		want       string
	}{
		{[]string{"web"}, "stop", "web", "demo/web is stopped\n"},
		{[]string{"web"}, "start", "web", "demo/web is started\n"},
		{[]string{"web"}, "restart", "web", "demo/web is restarted\n"},
		{[]string{"a", "b"}, "stop", "", "demo is stopped: 2 nodes\n"},
		{[]string{"a"}, "restart", "", "demo is restarted: 1 node\n"},
		{nil, "stop", "web", "demo/web is stopped already, nothing to do\n"},
		{nil, "start", "", "demo runs already, nothing to do\n"},
		{nil, "restart", "", "demo has no command, nothing to do\n"},
	} {
		equal(t, "text", commandResult(lab.CommandResult{Name: "demo", Nodes: c.nodes}, c.name, c.node), c.want)
	}
}

func TestStateText(t *testing.T) {
	code := func(n int) *int { return &n }
	for want, n := range map[string]lab.NodeStatus{
		"running":              {State: lab.StateRunning},
		"running(ready)":       {State: lab.StateRunning, Ready: "ready", OOMKilled: true}, // whichever of its processes
		"running(unhealthy)":   {State: lab.StateRunning, Ready: "unhealthy"},
		"idle(waiting)":        {State: lab.StateIdle, Ready: "waiting"},
		"paused":               {State: lab.StatePaused, Ready: "ready"},
		"waiting":              {State: lab.StateWaiting, Ready: "waiting"},
		"exited(1)":            {State: lab.StateExited, ExitCode: code(1), Ready: "waiting"},
		"exited(0,ready)":      {State: lab.StateExited, ExitCode: code(0), Ready: "ready"},
		"exited(137,oom)":      {State: lab.StateExited, ExitCode: code(137), OOMKilled: true},
		"restarting":           {State: lab.StateRestarting},
		"restarting(3)":        {State: lab.StateRestarting, ExitCode: code(3)},
		"stopped":              {State: lab.StateStopped, ExitCode: code(0)},
		"dead":                 {State: lab.StateDead},
		"dead (signal 9)":      {State: lab.StateDead, ExitCode: code(137), Signal: "SIGKILL"},
		"dead (signal 9, oom)": {State: lab.StateDead, ExitCode: code(137), Signal: "SIGKILL", OOMKilled: true},
	} {
		equal(t, "state", stateText(n), want)
	}
}

func TestUntilText(t *testing.T) {
	now := time.Unix(1000, 0)
	for want, at := range map[string]*time.Time{"": nil, "in 1.6 s": later(now, 1600), "in less than 1 ms": later(now, -5)} {
		equal(t, "text", untilText(at, now), want)
	}
}

func later(now time.Time, ms int) *time.Time {
	at := now.Add(time.Duration(ms) * time.Millisecond)
	return &at
}

func TestLifecycleExitCodes(t *testing.T) {
	for want, err := range map[int]error{
		exitNotReady:      fmt.Errorf("x: %w", &lab.NotReadyError{Nodes: []lab.NotReady{{}}}),
		exitStuck:         errors.Join(&lab.Error{Err: fmt.Errorf("%w: process 7", lab.ErrStuck)}),
		exitNotRunning:    &lab.Error{Err: lab.ErrNoCommandToRun},
		exitNoCommand:     &lab.Error{Err: fmt.Errorf("x: %w", lab.ErrNoCommand)},
		exitNotExecutable: &lab.Error{Err: fmt.Errorf("x: %w", lab.ErrNotExecutable)},
	} {
		equal(t, err.Error(), exitCode(err), want)
	}
}
