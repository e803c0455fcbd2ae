package labinit

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/topology"
)

// processesOf returns how many processes a node may have in all, from its start to its end, 0 if as many as its lab. What the file does not
// say leaves as many to the lab's other nodes, on a small machine, too.
func processesOf(n *topology.Node) (uint64, error) {
	if n.Privileged || n.Limits.Pids == topology.AllPids {
		return 0, nil
	}
	var lab unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &lab); err != nil {
		return 0, err
	}
	return max(min(container.Processes, lab.Cur/2), uint64(n.Limits.Pids)), nil
}

// boundNodes sets how much of the kernel's own each id may use up in the lab's user namespace. All of a node is counted there for one id, its
// owner, whatever the node makes of ids and namespaces inside: what is set here is what a node can have. What
// the whole lab can have is the host's affair, and is counted there for the lab's own id. A lab without a user namespace has nothing of the kind: its
// nodes' owners are the host's, and have what the host gives each user.
// namespaces(7), /proc/sys/user.
func boundNodes(userNS bool) error {
	if !userNS {
		return nil
	}
	const namespaces = 1024 // of each kind; on a host whose own bound is lower, that one holds for the whole lab
	bounds := map[string]int{}
	for _, kind := range []string{"user", "pid", "uts", "ipc", "net", "mnt", "cgroup", "time"} {
		bounds["max_"+kind+"_namespaces"] = namespaces
	}
	for sysctl, of := range map[string]string{
		"max_inotify_instances": "fs/inotify/max_user_instances",
		"max_inotify_watches":   "fs/inotify/max_user_watches",
		"max_fanotify_groups":   "fs/fanotify/max_user_groups",
		"max_fanotify_marks":    "fs/fanotify/max_user_marks",
	} {
		b, err := os.ReadFile("/proc/sys/" + of)
		if err != nil {
			continue // the kernel has it not
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			bounds[sysctl] = (n + 1) / 2
		}
	}
	if err := failpoint.Hit("sysctl", "user/max_*"); err != nil {
		return &buildError{op: "bound what a node may use up", err: err}
	}
	for sysctl, n := range bounds {
		err := os.WriteFile("/proc/sys/user/"+sysctl, []byte(strconv.Itoa(n)), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &buildError{op: "bound what a node may use up", object: sysctl, err: err}
		}
	}
	return nil
}
