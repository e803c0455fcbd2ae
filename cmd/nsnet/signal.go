package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// withSignals returns a context that SIGINT or SIGTERM cancels, with a signalError as its
// cause: signal.NotifyContext does not tell which signal it was, and the exit code must.
// After the first signal the next one kills as usual, so nobody is held by a clean-up
// that hangs. stop must be called.
func withSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			if s, ok := s.(syscall.Signal); ok {
				cancel(&signalError{s})
			}
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}
