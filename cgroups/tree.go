package cgroups

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	oc "github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// Node is a running node: its name, and its init's pid as the caller sees it.
type Node struct {
	Name string
	PID  int
}

// process is what is needed of a line of proc_pid_stat(5).
type process struct {
	pid, parent int
	dead        bool   // a zombie: it can be in no other group any more
	ticks       uint64 // processor time, its own and that of children it has waited for
	threads     uint64
}

// tree is all processes of the machine at about one time.
type tree struct {
	all      map[int]process
	children map[int][]int
}

// scan reads the processes that there are. One that ends meanwhile is left out.
func scan() (*tree, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	t := &tree{all: map[int]process{}, children: map[int][]int{}}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", name, "stat"))
		if gone(err) || errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		p, err := parseStat(b)
		if err != nil {
			return nil, fmt.Errorf("read /proc/%s/stat: %w", name, err)
		}
		p.pid = pid
		t.all[pid] = p
		t.children[p.parent] = append(t.children[p.parent], pid)
	}
	return t, nil
}

// parseStat reads a stat file. The name in brackets may hold anything, brackets too.
func parseStat(b []byte) (process, error) {
	end := bytes.LastIndexByte(b, ')')
	f := bytes.Fields(b[end+1:])
	if end < 0 || len(f) < 18 {
		return process{}, fmt.Errorf("%q is not as proc_pid_stat(5) says", b)
	}
	// From the state on, which is the third field of the manual page.
	var p process
	var err error
	if p.parent, err = strconv.Atoi(string(f[1])); err != nil {
		return p, err
	}
	for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime
		n, err := strconv.ParseUint(string(f[i]), 10, 64)
		if err != nil {
			return p, err
		}
		p.ticks += n
	}
	p.threads, err = strconv.ParseUint(string(f[17]), 10, 64)
	// A first thread that has ended leaves a zombie for as long as others run.
	p.dead = bytes.ContainsAny(f[0], "ZXx") && p.threads <= 1
	return p, err
}

// below lists a process and all that descend from it, parents first. A node's processes all
// descend from its init, which inherits the orphans.
func (t *tree) below(pid int) []process {
	p, ok := t.all[pid]
	if !ok {
		return nil
	}
	list := []process{p}
	for i := 0; i < len(list); i++ {
		for _, c := range t.children[list[i].pid] {
			list = append(list, t.all[c])
		}
	}
	return list
}

// herd is a process with all that descends from it, and the group that these belong into: within it, or in into.
type herd struct {
	first        int
	into, within string
}

// gather moves processes into their groups.
// What forks meanwhile is looked for again. Parents go first: one that the move freezes waits
// for none of its children any more, so that their numbers cannot pass to strangers before
// their own move.
func gather(ctx context.Context, herds []herd) error {
	for {
		t, err := scan()
		if err != nil {
			return err
		}
		moved := 0
		for _, h := range herds {
			inside, err := pidsBelow(h.within)
			if err != nil {
				return fmt.Errorf("list processes of cgroup %s: %w", h.within, err)
			}
			for _, p := range t.below(h.first) {
				if _, in := slices.BinarySearch(inside, p.pid); in || p.dead {
					continue
				}
				err := oc.WriteCgroupProc(h.into, p.pid)
				if err != nil && !errors.Is(err, unix.ESRCH) {
					return fmt.Errorf("move process %d into cgroup %s: %w", p.pid, h.into, err)
				}
				moved++
			}
		}
		if moved == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("its processes fork faster than they can be moved into their control group: %w", context.Cause(ctx))
		}
	}
}

// pause waits between two looks at what no event tells of.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
