package main

import (
	"testing"

	"github.com/nsnet/nsnet/lab"
)

func TestPauseText(t *testing.T) {
	for _, c := range []struct {
		res  lab.PauseResult
		node string
		want string
	}{
		{lab.PauseResult{Name: "demo", State: lab.StatePaused, Nodes: []string{"web"}}, "web", "demo/web is paused\n"},
		{lab.PauseResult{Name: "demo", State: lab.StatePaused, Nodes: []string{"a", "b"}}, "", "demo is paused: 2 nodes\n"},
		{lab.PauseResult{Name: "demo", State: lab.StatePaused}, "", "demo is paused: 0 nodes\n"},
		{lab.PauseResult{Name: "demo", State: lab.StateRunning, Nodes: []string{"a"}}, "", "demo is resumed: 1 node\n"},
		{lab.PauseResult{Name: "demo", State: lab.StateRunning, Nodes: []string{"web"}}, "web", "demo/web is resumed\n"},
		{lab.PauseResult{Name: "demo", State: lab.StateRunning}, "web", "demo/web is not paused, nothing to do\n"},
		{lab.PauseResult{Name: "d\x1b[2J", State: lab.StatePaused}, "e\a", `d\x1b[2J/e\a is paused` + "\n"},
	} {
		equal(t, "text", pauseText(c.res, c.node), c.want)
	}
}
