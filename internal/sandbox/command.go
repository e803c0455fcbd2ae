package sandbox

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// Command returns the command that starts this program with these arguments as a sandbox's
// supervisor; its main function must call Supervise, which the caller makes known through
// cmd.Env. Standard input is taken: it tells the supervisor that the caller lives.
func Command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.WaitDelay = 5 * time.Second
	// Never written to: its end, at the latest with this process, is the message.
	if _, err := cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
	}
	return cmd, nil
}
