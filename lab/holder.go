package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/lockfile"
)

// dyingTime bounds the wait for what a dead command has left running.
const dyingTime = 3 * time.Second

// heldByTheDead tells that a lab's lock is held by a process that has ended: by what it was just
// starting, which has its descriptors until it executes a program or notices, moments later.
// proc_locks(5) names who has taken a lock; in a pid namespace it does not list those of the dead.
func heldByTheDead(name string) bool {
	var st unix.Stat_t
	if !busy(dirOf(name)) || unix.Stat(filepath.Join(dirOf(name), lockFile), &st) != nil {
		return false
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return false
	}
	pid, found := holder(string(locks), fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino))
	return !found || errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

// holder finds who has the lock on a file, given as major:minor:inode, in the text of /proc/locks.
func holder(locks, file string) (pid int, found bool) {
	for line := range strings.Lines(locks) {
		// 1: FLOCK  ADVISORY  WRITE 1234 00:1a:42 0 EOF; who waits has an arrow behind the number.
		f := strings.Fields(line)
		if len(f) == 8 && f[1] == "FLOCK" && f[5] == file {
			pid, err := strconv.Atoi(f[4])
			return pid, err == nil && pid > 0
		}
	}
	return 0, false
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
	return lockfile.Wait(ctx, f, lockfile.Exclusive)
}
