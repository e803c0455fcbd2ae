package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/lockfile"
	"github.com/nsnet/nsnet/lab/stall"
)

// dyingTime bounds the wait for what a dead command has left running.
const dyingTime = 3 * time.Second

// heldByTheDead tells that a lab's lock is held by a process that has ended: by what it was just
// starting, which has its descriptors until it executes a program or notices, moments later.
// In a pid namespace the dead are not known.
func heldByTheDead(name string) bool {
	if !busy(dirOf(name)) {
		return false
	}
	pid, found := lockfile.Holder(filepath.Join(dirOf(name), lockFile))
	return !found || errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

// waitForEnd waits for a lab init that is on its way out to let go of its life lock.
func waitForEnd(ctx context.Context, dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, aliveFile), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(ctx, dyingTime)
	defer cancel()
	return lockfile.Wait(ctx, f, lockfile.Exclusive, stall.Init(filepath.Base(dir)))
}
