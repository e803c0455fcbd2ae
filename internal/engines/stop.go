package engines

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Stop removes all containers, ends the engine, and takes away all it has made, as far as possible.
func (e *Engine) Stop() error {
	var failed []error
	if e.cmd != nil {
		// To end by SIGTERM takes dockerd a second; what that would tidy up is removed here anyway.
		failed = append(failed, e.RemoveAll(context.Background()), e.Kill(unix.SIGKILL))
	}
	failed = append(failed, e.endProcesses(), e.unmount(), os.RemoveAll(e.Dir), e.removeCgroups(), e.net.restore())
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("stop %s: %w", e.Name, err)
	}
	return nil
}

// endProcesses kills what the engine has started, until there is nothing of it.
func (e *Engine) endProcesses() error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		pids, err := e.processes()
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v do not end", pids)
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// processes lists what the engine has started: whose command line speaks of its directory, or who is in its
// control groups.
func (e *Engine) processes() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() || pid == 1 {
			continue
		}
		// Unreadable are those of a process that has just ended, empty those of a zombie.
		command, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		groups, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cgroup"))
		if len(command) > 0 && (bytes.Contains(command, []byte(e.Dir+"/")) || bytes.Contains(groups, []byte(":/"+e.parent+"/"))) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// unmount takes off the engine's mounts, the last one first, and shows the machine's directories again.
func (e *Engine) unmount() error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(e.Dir))
	if err != nil {
		return err
	}
	var failed []error
	for _, m := range slices.Backward(mounts) {
		failed = append(failed, unix.Unmount(m.Mountpoint, unix.MNT_DETACH))
	}
	for _, dir := range slices.Backward(e.hidden) {
		failed = append(failed, unix.Unmount(dir, unix.MNT_DETACH))
	}
	e.hidden = nil
	for _, err := range failed {
		if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: gone with the one below
			return fmt.Errorf("unmount: %w", err)
		}
	}
	return nil
}

// removeCgroups removes the engine's control groups in every hierarchy. The kernel may need a moment to find
// them empty.
func (e *Engine) removeCgroups() error {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return err
	}
	var failed error
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		failed = nil
		for _, m := range mounts {
			var dirs []string
			err := filepath.WalkDir(filepath.Join(m.Mountpoint, e.parent), func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					dirs = append(dirs, path)
				}
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			})
			failed = errors.Join(failed, err)
			for _, dir := range slices.Backward(dirs) {
				if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
					failed = errors.Join(failed, err)
				}
			}
		}
		if failed == nil || time.Now().After(deadline) {
			return failed
		}
	}
}

// sysctls lists the values of the network namespace that can be read, by path.
func sysctls() (map[string]string, error) {
	values := map[string]string{}
	err := filepath.WalkDir("/proc/sys/net", func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // of a link that has just gone
		}
		if err != nil || entry.IsDir() {
			return err
		}
		if value, err := os.ReadFile(path); err == nil {
			values[path] = strings.TrimSpace(string(value))
		}
		return nil
	})
	return values, err
}
