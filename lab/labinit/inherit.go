package labinit

import (
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
)

// forgetCaller rids the process, and with it every node, of what it has inherited of whoever brought the lab up and up
// could not take away: the umask, hard limits above the standard ones, the keys of the caller's session. What is refused stays.
func forgetCaller() {
	unix.Umask(0o022)
	if threads, err := container.MaxThreads(); err == nil {
		for _, l := range container.Limits(threads) {
			var now unix.Rlimit
			if l.Resource == unix.RLIMIT_NOFILE || unix.Getrlimit(l.Resource, &now) != nil {
				continue // of which a lab's init needs many; the spawner sets the nodes'
			}
			l = l.OfLab(now.Cur).Within(now.Max)
			if l.Soft != now.Cur || l.Hard != now.Max {
				_ = unix.Setrlimit(l.Resource, &unix.Rlimit{Cur: l.Soft, Max: l.Hard})
			}
		}
	}
	_ = unix.Prctl(unix.PR_SET_THP_DISABLE, 0, 0, 0, 0)
	_, _ = unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) // a new one without a name
}
