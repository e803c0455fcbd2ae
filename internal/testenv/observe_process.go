package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/moby/sys/mountinfo"
)

// process is what /proc/PID/stat says of a process.
type process struct {
	pid, parent int
	state       byte
	start       string // clock ticks since boot
	name        string
}

// processes lists the processes of the PID namespace that /proc shows. Those that end meanwhile are left out.
func processes() ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read process %d: %w", pid, err)
		}
		p, err := parseStat(string(stat))
		if err != nil {
			return nil, fmt.Errorf("read process %d: %w", pid, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// parseStat reads /proc/PID/stat, proc_pid_stat(5). The name may hold spaces and parentheses.
func parseStat(stat string) (process, error) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return process{}, fmt.Errorf("parse %q: no name", stat)
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 20 || len(fields[0]) != 1 {
		return process{}, fmt.Errorf("parse %q: too short", stat)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(stat[:open]))
	if err != nil {
		return process{}, fmt.Errorf("parse pid: %w", err)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return process{}, fmt.Errorf("parse parent: %w", err)
	}
	return process{pid: pid, parent: parent, state: fields[0][0], start: fields[19], name: stat[open+1 : end]}, nil
}

// observeProcesses lists the processes of this PID namespace but for this one and its threads.
// A zombie of PID 1 is about to be reaped.
func observeProcesses() ([]string, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	var items []string
	for _, p := range all {
		if p.pid == os.Getpid() || p.state == 'Z' && p.parent == 1 {
			continue
		}
		zombie := ""
		if p.state == 'Z' {
			zombie = " zombie"
		}
		command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
		text := strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " "))
		items = append(items, fmt.Sprintf("%d (%s) started %s%s: %s", p.pid, p.name, p.start, zombie, text))
	}
	return items, nil
}

// observeNetns lists the network namespaces that are mounted or that a process is in.
func observeNetns() ([]string, error) {
	seen := map[string]bool{}
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("nsfs"))
	if err != nil {
		return nil, fmt.Errorf("read mountinfo: %w", err)
	}
	for _, m := range mounts {
		seen[m.Root+" at "+m.Mountpoint] = true
	}
	all, err := processes()
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		// Unreadable is that of a process that has just ended.
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", p.pid)); err == nil {
			seen[ns] = true
		}
	}
	items := make([]string, 0, len(seen))
	for item := range seen {
		items = append(items, item)
	}
	return items, nil
}

// observeDescriptors lists what this process's descriptors point to. Numbers are left out: they are
// given again as soon as they are free.
func observeDescriptors() ([]string, error) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return nil, fmt.Errorf("list descriptors: %w", err)
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list descriptors: %w", err)
	}
	var items []string
	for _, name := range names {
		if name == strconv.Itoa(int(dir.Fd())) {
			continue
		}
		if target, err := os.Readlink("/proc/self/fd/" + name); err == nil {
			items = append(items, target)
		}
	}
	return items, nil
}

// startPoller makes the Go runtime open its epoll descriptors, which stay, so that a
// snapshot from before their first use does not call them a leak.
func startPoller() error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start poller: %w", err)
	}
	return errors.Join(r.Close(), w.Close())
}

// observeThreads lists the namespaces that this process's threads are in, each once.
func observeThreads() ([]string, error) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, fmt.Errorf("list threads: %w", err)
	}
	seen := map[string]bool{}
	for _, task := range tasks {
		for _, ns := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
			// Missing is that of a thread that has just ended, or a kind the kernel lacks.
			if link, err := os.Readlink(filepath.Join("/proc/self/task", task.Name(), "ns", ns)); err == nil {
				seen[link] = true
			}
		}
	}
	items := make([]string, 0, len(seen))
	for item := range seen {
		items = append(items, item)
	}
	return items, nil
}
