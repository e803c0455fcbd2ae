package cgroups

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	oc "github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fscommon"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/pidfd"
	"github.com/nsnet/nsnet/topology"
)

// updateTime bounds what a running node's new limits may take.
const updateTime = 10 * time.Second

// Update sets limits of a running node, those that are not zero, and takes back those whose keys
// are in lift. A node that has no group in a hierarchy gets one, with all its processes moved into
// it; memory that they have by then is not counted in it. For a limit of memory that is below what
// the node has, the node pays with its largest processes, but not with its init: killed is how many.
func (h *Host) Update(ctx context.Context, lab string, n Node, set topology.Limits, lift []string) (killed int, err error) {
	ctx, stop := context.WithTimeout(ctx, updateTime)
	defer stop()
	if killed, err = h.makeRoom(ctx, lab, n, set.Memory); err != nil {
		return killed, err
	}
	g, err := h.Create(lab, n.Name, set)
	for err != nil {
		one, kerr := h.shrink(lab, n, set.Memory)
		if kerr != nil || !one {
			return killed, errors.Join(err, kerr)
		}
		killed++
		if perr := pause(ctx, 5*time.Millisecond); perr != nil {
			return killed, fmt.Errorf("%w: %w", err, perr)
		}
		g, err = h.Create(lab, n.Name, set)
	}
	for _, dir := range g.dirs {
		if err := gather(ctx, []herd{{n.PID, dir, dir}}); err != nil {
			return killed, err
		}
	}
	for _, key := range lift {
		if err := h.lift(lab, n.Name, key); err != nil {
			return killed, err
		}
	}
	return killed, nil
}

// makeRoom gets a version 2 node below a new limit of memory before it is set. The kernel would
// kill, too, but does not wait for what it has killed to give its memory back: it goes on to the
// next, and the node's init is among them (tried on 6.1 and 6.12). Until then memory.high has the
// kernel reclaim without killing.
func (h *Host) makeRoom(ctx context.Context, lab string, n Node, limit int64) (killed int, err error) {
	hy, ok := h.find("memory")
	if !ok || !hy.unified || limit <= 0 {
		return 0, nil
	}
	dir := filepath.Join(hy.labDir(lab), n.Name)
	defer func() {
		if werr := oc.WriteFile(dir, "memory.high", "max"); werr != nil && !gone(werr) {
			err = errors.Join(err, werr)
		}
	}()
	for {
		if err := oc.WriteFile(dir, "memory.high", strconv.FormatInt(limit, 10)); gone(err) {
			return killed, nil // it has no group yet that counts memory
		} else if err != nil {
			return killed, fmt.Errorf("reclaim memory of cgroup %s: %w", dir, err)
		}
		one, err := h.shrink(lab, n, limit)
		if err != nil {
			return killed, err
		}
		if one {
			killed++
		}
		used, err := fscommon.GetCgroupParamUint(dir, "memory.current")
		if err != nil || used <= uint64(limit) {
			return killed, err
		}
		if !one {
			return killed, fmt.Errorf("set limits of cgroup %s: the node's init alone has %d bytes, more than %d: %w", dir, used, limit, unix.EBUSY)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return killed, err
		}
	}
}

// shrink kills the largest process of a node that has more memory than a new limit, and tells
// whether it did. A version 1 kernel refuses such a limit with EBUSY. The node's init is spared.
func (h *Host) shrink(lab string, n Node, limit int64) (bool, error) {
	hy, ok := h.find("memory")
	if !ok || limit <= 0 {
		return false, nil
	}
	dir, file := filepath.Join(hy.labDir(lab), n.Name), "memory.usage_in_bytes"
	if hy.unified {
		file = "memory.current"
	}
	used, err := fscommon.GetCgroupParamUint(dir, file)
	if gone(err) || err == nil && used <= uint64(limit) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	pids, err := pidsBelow(dir)
	if err != nil {
		return false, err
	}
	victim, most := 0, uint64(0)
	for _, pid := range pids {
		if pid <= 0 || pid == n.PID {
			continue
		}
		if m := memoryOf([]process{{pid: pid}}); m != nil && *m >= most {
			victim, most = pid, *m
		}
	}
	if victim == 0 {
		return false, nil
	}
	fd, err := unix.PidfdOpen(victim, 0)
	if errors.Is(err, unix.ESRCH) {
		return true, nil // it has ended, which is as good
	}
	if err != nil {
		return false, fmt.Errorf("open process %d: %w", victim, err)
	}
	defer unix.Close(fd)
	// The number may have passed to a stranger before the descriptor was made.
	if pids, err = pidsBelow(dir); err != nil || !slices.Contains(pids, victim) {
		return err == nil, err
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return false, fmt.Errorf("kill process %d: %w", victim, err)
	}
	// Its memory comes back when it has ended.
	_, err = pidfd.WaitFor(fd, time.Second)
	return true, err
}
