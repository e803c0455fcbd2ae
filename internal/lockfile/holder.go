package lockfile

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/waiting"
)

// Holder returns who has taken the lock on a file; who has inherited it since is not known. proc_locks(5), which in a pid namespace lists
// neither those of the dead nor those of other namespaces: false.
func Holder(path string) (pid int, found bool) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0, false
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0, false
	}
	return holder(string(locks), fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino))
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

// heldBy says who has the lock on a file: ", which nsnet up demo.yaml holds, pid 24, which is stopped (...)".
func heldBy(f *os.File) string {
	pid, found := Holder(f.Name())
	if !found {
		return ""
	}
	who := waiting.Command(pid)
	if who == "" {
		who = "a process"
	}
	return fmt.Sprintf(", which is held by %q, %s", who, waiting.Process(pid))
}
