package pidfd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// look is how often Wait looks whether its context has ended.
const look = time.Second

// Wait waits until the process of a descriptor has ended, or for a context to end, the cause of which is then the error.
func Wait(ctx context.Context, fd int) error {
	for {
		ended, err := WaitFor(fd, look)
		if ended || err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// WaitFor waits for the end of a descriptor's process, for so long at most, and tells whether it has come.
func WaitFor(fd int, most time.Duration) (ended bool, err error) {
	until := time.Now().Add(most)
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		left := (max(0, time.Until(until)) + time.Millisecond - 1) / time.Millisecond
		n, err := unix.Poll(p, int(left))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, fmt.Errorf("wait for a process: %w", err)
		case n > 0 && p[0].Revents&unix.POLLNVAL != 0:
			return false, fmt.Errorf("wait for a process: %w", unix.EBADF)
		case n > 0:
			return true, nil
		case !time.Now().Before(until):
			return false, nil
		}
	}
}
