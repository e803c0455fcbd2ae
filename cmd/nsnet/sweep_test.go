package main

import (
	"context"
	"errors"
	"testing"

	"github.com/spf13/cobra"

	"github.com/nsnet/nsnet/lab"
)

func TestSweepKeepsTheVerdict(t *testing.T) {
	verdict := error(&lab.Error{Lab: "a", Err: lab.ErrNotFound})
	for _, tt := range []struct {
		name         string
		err, failure error
		stderr       string
	}{
		{"both well", nil, nil, ""},
		{"command failed", verdict, nil, ""},
		{"sweep failed", nil, errors.New("x\x1b\ny"), "nsnet: note: x\\x1b\nnsnet: note: y\n"},
		{"both failed", verdict, errors.New("x"), "nsnet: note: x\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			swept := 0
			cmd := &cobra.Command{RunE: func(*cobra.Command, []string) error { return tt.err }}
			_, stderr := captured(t, func(std stdio) {
				sweepAfter(cmd, std, func(context.Context) error { swept++; return tt.failure })
				equal(t, "error", cmd.RunE(cmd, nil), tt.err)
			})
			equal(t, "sweeps", swept, 1)
			equal(t, "standard error", stderr, tt.stderr)
		})
	}
}

func TestWhoTouchesLabs(t *testing.T) {
	want := map[string]bool{"up": true, "down": true, "plan": true, "watch": true, "ps": true, "inspect": true, "exec": true, "logs": true, "diff": true, "commit": true, "stop": true, "start": true, "restart": true, "kill": true, "cp": true, "wait": true, "pause": true, "resume": true, "stats": true, "update": true, "attach": true, "detach": true}
	captured(t, func(std stdio) {
		for _, cmd := range newRoot(std).Commands() {
			equal(t, cmd.Name(), touchesLabs(cmd), want[cmd.Name()])
		}
	})
}
