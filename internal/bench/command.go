package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// timed runs a command and returns how long it took. Its output matters only when it fails.
func timed(ctx context.Context, argv ...string) (time.Duration, error) {
	start := time.Now()
	_, err := output(ctx, argv...)
	return time.Since(start), err
}

// output runs a command and returns what it printed on standard output.
func output(ctx context.Context, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run %s: %w\n%s%s", strings.Join(argv, " "), err, stdout.String(), stderr.String())
	}
	return []byte(stdout.String()), nil
}

// have tells whether a program is in PATH.
func have(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}
