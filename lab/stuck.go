package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// describe names processes of a node that cannot be killed, as the host sees them, with what the kernel has them wait for.
func (r *running) describe(node string, pids []int) string {
	host := map[int]int{}
	for _, n := range r.nodes {
		if n.name == node {
			host = inNamespaceOf(n.pid)
		}
	}
	const most = 5
	var all []string
	for i, pid := range pids {
		if i == most {
			all = append(all, fmt.Sprintf("and %d more", len(pids)-most))
			break
		}
		all = append(all, process(pid, host[pid]))
	}
	return strings.Join(all, ", ")
}

// process describes one: "process 7 (host 4711, nfsd, state D, waits in nfs_wait_bit_killable)".
func process(pid, host int) string {
	dir := fmt.Sprintf("/proc/%d/", host)
	stat, err := os.ReadFile(dir + "stat")
	if host == 0 || err != nil {
		return fmt.Sprintf("process %d", pid)
	}
	text := fmt.Sprintf("process %d (host pid %d", pid, host)
	begin, end := strings.IndexByte(string(stat), '('), strings.LastIndexByte(string(stat), ')')
	if begin >= 0 && end > begin {
		text += ", " + string(stat[begin+1:end])
		if f := strings.Fields(string(stat[end+1:])); len(f) > 0 {
			text += ", state " + f[0]
		}
	}
	// proc_pid_wchan(5): 0 is "in none", or that the kernel keeps it to itself.
	if wchan, err := os.ReadFile(dir + "wchan"); err == nil && len(wchan) > 0 && string(wchan) != "0" {
		text += ", waits in " + string(wchan)
	}
	return text + ")"
}

// inNamespaceOf are the processes in the pid namespace that a node's init is the first of, by their pids there.
func inNamespaceOf(init int) map[int]int {
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", init))
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	m := map[int]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if own, err := os.Readlink("/proc/" + e.Name() + "/ns/pid"); err != nil || own != ns {
			continue
		}
		status, err := os.ReadFile("/proc/" + e.Name() + "/status")
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
				f := strings.Fields(rest)
				if inner, err := strconv.Atoi(f[len(f)-1]); err == nil {
					m[inner] = pid
				}
			}
		}
	}
	return m
}
