package lockfile

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/waiting"
)

// Mode is whether others may have the lock, too.
type Mode int

// The modes of locks.
const (
	Shared    Mode = unix.LOCK_SH
	Exclusive Mode = unix.LOCK_EX
)

// ErrHeld is that somebody else has the lock.
var ErrHeld error = unix.EWOULDBLOCK

// Try locks f unless that takes waiting, which is ErrHeld. Closing f unlocks it.
func Try(f *os.File, m Mode) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return flock(conn.Control, int(m)|unix.LOCK_NB)
}

// Wait locks f, waiting for others until the context ends, the cause of which is then the error. When that takes long it is said, by
// waiting.Say, whose lock it is, "the lock of lab demo", and who holds it.
func Wait(ctx context.Context, f *os.File, m Mode, whose string) error {
	if err := Try(f, m); !errors.Is(err, ErrHeld) {
		return err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	defer waiting.Say(ctx, func() string { return whose + heldBy(f) })()
	done := make(chan error, 1)
	go func() { done <- flock(conn.Control, int(m)) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// flock works within Control: the descriptor stays the file's, also when the caller of Wait, who no longer wants to wait, has closed
// it.
func flock(control func(func(fd uintptr)) error, how int) error {
	var got error
	err := control(func(fd uintptr) {
		for got = unix.EINTR; errors.Is(got, unix.EINTR); {
			got = unix.Flock(int(fd), how)
		}
	})
	return errors.Join(err, got)
}

// Held tells whether somebody has f locked alone. It is f's reader who asks, and holds nothing afterwards that outlasts
// f.
func Held(f *os.File) bool { return errors.Is(Try(f, Shared), ErrHeld) }

// Current tells whether an open, locked file is the one that its name leads to: who held the lock before may have
// removed it.
func Current(f *os.File) bool {
	var mine, now unix.Stat_t
	fd, err := f.SyscallConn()
	if err != nil {
		return false
	}
	same := false
	err = fd.Control(func(fd uintptr) {
		same = unix.Fstat(int(fd), &mine) == nil && unix.Stat(f.Name(), &now) == nil && mine.Ino == now.Ino && mine.Dev == now.Dev
	})
	return err == nil && same
}
