package testenv

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// CPU returns the processor time that f takes in its own goroutine, which is little changed by whatever else the machine does. What one
// input takes is to be compared with what another takes. getrusage(2).
func CPU(f func()) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &before); err != nil {
		return 0, err
	}
	f()
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &after); err != nil {
		return 0, err
	}
	took := func(u *unix.Rusage) int64 { return u.Utime.Nano() + u.Stime.Nano() }
	return time.Duration(took(&after) - took(&before)), nil
}
