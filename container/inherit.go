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

// What a node may use up of the host, unless its limits say otherwise.
const (
	Processes = 4096   // processes and threads, where its lab may have twice as many
	queues    = 819200 // bytes of message queues: MQ_BYTES_MAX of the kernel
)

// LabQueues is how many bytes of message queues all nodes of a lab may have, where the caller may allow so many.
const LabQueues = 16 * queues

// Limits returns the limits of a node's commands, whoever has brought the lab up: those that the kernel gives the first process
// of the machine, but for as many open files as systemd allows, and a share of the signals that a user may have queued. Those of processes, of
// signals and of message queues hold for all processes of the node together. Threads is the sysctl kernel.threads-max.
func Limits(threads uint64) []Limit {
	const none = unix.RLIM_INFINITY
	const locked = 8 << 20 // MLOCK_LIMIT of the kernel
	processes, signals := threads/2, threads/2/share
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
		{unix.RLIMIT_SIGPENDING, signals, signals},
		{unix.RLIMIT_MSGQUEUE, queues, queues},
		{unix.RLIMIT_NICE, 0, 0},
		{unix.RLIMIT_RTPRIO, 0, 0},
		{unix.RLIMIT_RTTIME, none, none},
	}
}

// share is which part of what a lab may have one node may.
const share = 4

// LabLimits returns the limits with which a lab's user namespace is made, which hold for all its nodes together. PIDs is the sysctl
// kernel.pid_max, of which some are left to the host.
func LabLimits(threads, pids uint64) []Limit {
	all := Limits(threads)
	for i := range all {
		switch l := &all[i]; l.Resource {
		case unix.RLIMIT_NPROC:
			l.Soft = min(l.Soft, pids/4*3)
			l.Hard = l.Soft
		case unix.RLIMIT_SIGPENDING:
			l.Soft, l.Hard = l.Soft*share, l.Hard*share
		case unix.RLIMIT_MSGQUEUE:
			l.Soft, l.Hard = LabQueues, LabQueues
		}
	}
	return all
}

// OfLab returns the limit as it is for a node of a lab that may have so much itself: no node may have all of it.
func (l Limit) OfLab(soft uint64) Limit {
	switch l.Resource {
	case unix.RLIMIT_NPROC: // a node's own is set when it is started
		l.Soft, l.Hard = soft, soft
	case unix.RLIMIT_SIGPENDING, unix.RLIMIT_MSGQUEUE:
		l.Soft, l.Hard = min(l.Soft, soft/2), min(l.Hard, soft/2)
	}
	return l
}

// Within returns the limit as far as a hard limit allows, which only a process with CAP_SYS_RESOURCE may raise, and
// which whoever has set it will have meant.
func (l Limit) Within(hard uint64) Limit {
	l.Soft, l.Hard = min(l.Soft, hard), min(l.Hard, hard)
	return l
}

// MaxThreads reads the sysctl kernel.threads-max, from which the kernel derives how many processes a user may have.
func MaxThreads() (uint64, error) { return number("/proc/sys/kernel/threads-max") }

// MaxPIDs reads the sysctl kernel.pid_max, which no process has a greater number than.
func MaxPIDs() (uint64, error) { return number("/proc/sys/kernel/pid_max") }

func number(sysctl string) (uint64, error) {
	b, err := os.ReadFile(sysctl)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}
