package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/nsnet/nsnet/internal/sandbox"
)

// observeMounts lists the mounts of this process without their ids, which every remount changes.
func observeMounts() ([]string, error) {
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("read mountinfo: %w", err)
	}
	var items []string
	for _, m := range mounts {
		items = append(items, strings.Join([]string{m.Mountpoint, m.FSType, m.Source, m.Root, m.Options, m.VFSOptions}, " "))
	}
	return items, nil
}

// stays tells of what is to outlive labs: consent.Dir and lab.IDsDir, of packages that cannot be imported here.
func stays(path string) bool { return path == "/var/lib/nsnet/consent" || path == "/var/lib/nsnet/ids" }

// observeFiles lists everything in the directories where nsnet keeps files; the directories
// themselves may stay.
func observeFiles() ([]string, error) {
	var items []string
	for _, root := range append([]string{"/run/nsnet", "/run/netns"}, sandbox.OwnDirs()...) {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			case stays(path):
				return fs.SkipDir
			case path != root:
				items = append(items, path+" "+entry.Type().String())
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", root, err)
		}
	}
	return items, nil
}

// observeSysctls lists every readable value below /proc/sys/net.
func observeSysctls() ([]string, error) {
	const root = "/proc/sys/net"
	var items []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the directory of a link that has just gone
		}
		if err != nil || entry.IsDir() {
			return err
		}
		key := "net." + strings.ReplaceAll(strings.TrimPrefix(path, root+"/"), "/", ".")
		if volatileSysctl(key) {
			return nil
		}
		// Write-only and unset values cannot be read, and are no state.
		if value, err := os.ReadFile(path); err == nil {
			items = append(items, key+" = "+strings.Join(strings.Fields(string(value)), " "))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list sysctls: %w", err)
	}
	return items, nil
}

// volatileSysctl tells values that the kernel changes by itself, or that are the whole machine's.
func volatileSysctl(key string) bool {
	return strings.HasSuffix(key, "nf_conntrack_count") || key == "net.netfilter.nf_conntrack_max" || key == "net.nf_conntrack_max"
}
