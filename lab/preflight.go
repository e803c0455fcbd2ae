package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/topology"
)

// What a lab takes at least; so much must be there before anything is changed.
const (
	recordBytes = 16 << 10 // of the record's file system, besides the topology twice: once replaces the other
	recordFiles = 12
	nodeFiles   = 2 // logs

	// Threads of up, of the lab init and of the spawner together, beside those that the Go runtime starts for more than a few
	// processors, which are half of them. Measured, with those that up has already: without them a runtime may find none
	// left later, and ends then and there, like a kill -9.
	labTasks     = 20
	idleTasks    = 1 // its init, which is a fork
	commandTasks = 8 // its init, which is a Go program, and the command
)

// preflight finds what would be refused in the middle of an up that starts these nodes.
func (b *builder) preflight(start []topology.Node) error {
	var st unix.Statfs_t
	if err := unix.Statfs(existing(b.dir), &st); err == nil {
		if onNetwork(st.Type) {
			return &Error{Op: "lock", Object: b.dir, Err: fmt.Errorf("%w: it is on a file system of another machine, whose locks do not tell which labs live here", ErrUnsupported), Remedy: "mount a tmpfs on /run"}
		}
		if err := enoughRoom(&st, len(b.content), len(b.lab.Nodes)); err != nil {
			return recordError(b.lab.Name, "write the record", err)
		}
	}
	if err := b.checkSubnets(); err != nil {
		return err
	}
	if len(start) == 0 {
		return nil
	}
	if err := enoughProcesses(start, runtime.GOMAXPROCS(0), processLimits("/")); err != nil {
		return &Error{Op: "start nodes", Err: err}
	}
	return nil
}

// enoughRoom tells whether a file system has room for a lab's record. One that does not count says 0 of 0.
func enoughRoom(st *unix.Statfs_t, content, nodes int) error {
	need := uint64(recordBytes + 2*content)
	if free := st.Bavail * uint64(st.Bsize); st.Blocks > 0 && free < need {
		return fmt.Errorf("%w: %d KiB needed, %d KiB free", unix.ENOSPC, need>>10, free>>10)
	}
	files := uint64(recordFiles + nodeFiles*nodes)
	if st.Files > 0 && st.Ffree < files {
		return fmt.Errorf("%w: room for %d files needed, for %d free", unix.ENOSPC, files, st.Ffree)
	}
	return nil
}

// processLimit is a limit of processes and how many there are.
type processLimit struct {
	name      string
	max, used int
}

// processLimits are those that this process is under: the kernel's, and its control groups'. root is / but in tests.
func processLimits(root string) []processLimit {
	number := func(path string) int {
		b, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return -1
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return -1 // "max"
		}
		return n
	}
	var limits []processLimit
	if n := number("proc/sys/kernel/pid_max"); n > 0 {
		l := processLimit{"the sysctl kernel.pid_max", n, 0}
		if b, err := os.ReadFile(filepath.Join(root, "proc/loadavg")); err == nil { // "0.1 0.2 0.3 1/234 567"
			if f := strings.Fields(string(b)); len(f) == 5 {
				_, total, _ := strings.Cut(f[3], "/")
				l.used, _ = strconv.Atoi(total)
			}
		}
		limits = append(limits, l)
	}
	limits = append(limits, userLimit(filepath.Join(root, "proc/self/limits"))...)
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return limits
	}
	for line := range strings.Lines(string(groups)) {
		// 8:pids:/a or 0::/a, which may be mounted at either place.
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 || f[1] != "pids" && f[1] != "" {
			continue
		}
		for _, at := range []string{"sys/fs/cgroup/pids", "sys/fs/cgroup", "sys/fs/cgroup/unified"} {
			for dir := filepath.Clean("/" + f[2]); dir != "/"; dir = filepath.Dir(dir) {
				group := filepath.Join(at, dir)
				if m := number(filepath.Join(group, "pids.max")); m >= 0 {
					limits = append(limits, processLimit{"pids.max of /" + group, m, max(0, number(filepath.Join(group, "pids.current")))})
				}
			}
		}
	}
	return limits
}

// userLimit is what a shell's ulimit -u says. It does not hold the host's root, but each user namespace that root makes, with all
// that is in it. It is the hard limit, up to which a lab is started. setrlimit(2).
func userLimit(path string) []processLimit {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		// "Max processes             95713                95713                processes"
		rest, ok := strings.CutPrefix(line, "Max processes")
		if f := strings.Fields(rest); ok && len(f) > 1 {
			if n, err := strconv.Atoi(f[1]); err == nil {
				return []processLimit{{"ulimit -u", n, 0}}
			}
		}
	}
	return nil
}

// enoughProcesses tells whether the limits leave room for starting these nodes on a machine with so many processors.
func enoughProcesses(start []topology.Node, cpus int, limits []processLimit) error {
	need := labTasks + cpus/2
	for i := range start {
		if n := &start[i]; len(n.Command) > 0 || n.Image.Stored() && !n.CommandGiven {
			need += commandTasks
		} else {
			need += idleTasks
		}
	}
	for _, l := range limits {
		if l.max-l.used < need {
			return fmt.Errorf("%w: %s: to start %d nodes takes %d at least, and %s is %d, of which %d are in use", unix.EAGAIN, noProcesses, len(start), need, l.name, l.max, l.used)
		}
	}
	return nil
}
