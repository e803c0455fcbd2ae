package container

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/nodeinit"
)

// Limit is what a node's commands have of a resource. getrlimit(2).
type Limit struct {
	Resource   int
	Soft, Hard uint64
}

// Limits returns the limits of a node's commands, whoever has brought the lab up: those that the kernel gives the first process
// of the machine, but for as many open files as systemd allows. Threads is the sysctl kernel.threads-max.
func Limits(threads uint64) []Limit {
	const none = unix.RLIM_INFINITY
	const locked, queues = 8 << 20, 819200 // MLOCK_LIMIT and MQ_BYTES_MAX of the kernel
	processes := threads / 2               // of each user id
	return []Limit{
		{unix.RLIMIT_CPU, none, none},
		{unix.RLIMIT_FSIZE, none, none},
		{unix.RLIMIT_DATA, none, none},
		{unix.RLIMIT_STACK, 8 << 20, none},
		{unix.RLIMIT_CORE, 0, none},
		{unix.RLIMIT_RSS, none, none},
		{unix.RLIMIT_NPROC, processes, processes},
		{unix.RLIMIT_NOFILE, nodeinit.Files, nodeinit.MostFiles},
		{unix.RLIMIT_MEMLOCK, locked, locked},
		{unix.RLIMIT_AS, none, none},
		{unix.RLIMIT_LOCKS, none, none},
		{unix.RLIMIT_SIGPENDING, processes, processes},
		{unix.RLIMIT_MSGQUEUE, queues, queues},
		{unix.RLIMIT_NICE, 0, 0},
		{unix.RLIMIT_RTPRIO, 0, 0},
		{unix.RLIMIT_RTTIME, none, none},
	}
}

// Within returns the limit as far as a hard limit allows, which only a process with CAP_SYS_RESOURCE may raise, and
// which whoever has set it will have meant.
func (l Limit) Within(hard uint64) Limit {
	l.Soft, l.Hard = min(l.Soft, hard), min(l.Hard, hard)
	return l
}

// MaxThreads reads the sysctl kernel.threads-max, from which the kernel derives how many processes a user may have.
func MaxThreads() (uint64, error) {
	b, err := os.ReadFile("/proc/sys/kernel/threads-max")
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}
