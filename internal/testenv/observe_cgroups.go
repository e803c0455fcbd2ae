package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
)

// observeCgroups lists the control groups in every hierarchy whose path has an element that
// begins with one of the lab names.
func observeCgroups(labs []string) ([]string, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, fmt.Errorf("read mountinfo: %w", err)
	}
	var dirs []string
	for _, m := range mounts {
		err := filepath.WalkDir(m.Mountpoint, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrPermission):
				return nil
			case err != nil:
				return err
			case !entry.IsDir():
				return nil
			}
			inside := strings.Split(strings.TrimPrefix(path, m.Mountpoint), "/")
			if slices.ContainsFunc(inside, func(name string) bool { return named(name, labs) }) {
				dirs = append(dirs, path)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list control groups of %s: %w", m.Mountpoint, err)
		}
	}
	return dirs, nil
}

func named(name string, labs []string) bool {
	return slices.ContainsFunc(labs, func(lab string) bool { return strings.HasPrefix(name, lab) })
}

// removeCgroups removes what a failed test has left of its labs' control groups, whose processes are
// dead already. The kernel may need a moment to find them empty.
func removeCgroups(labs []string) error {
	deadline := time.Now().Add(2 * time.Second)
	for {
		dirs, err := observeCgroups(labs)
		if err != nil {
			return err
		}
		slices.Sort(dirs)
		var failed error
		for _, dir := range slices.Backward(dirs) {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = err
			}
		}
		if failed == nil || time.Now().After(deadline) {
			return failed
		}
		time.Sleep(20 * time.Millisecond)
	}
}
