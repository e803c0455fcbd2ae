package lab

import (
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/nsnet/nsnet/topology"
)

// places are where nsnet mounts something else than a bind in a node. A node's root may move directories and make links, and so have a bind's
// path lead to one of these, which nsnet neither covers nor takes off for a bind.
type places []string

func placesOf(n *topology.Node) places {
	p := places{"/", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
	for i := range n.Binds {
		p = append(p, n.Binds[i].Target)
	}
	for i := range n.Tmpfs {
		p = append(p, n.Tmpfs[i].Target)
	}
	for i := range n.Unions {
		p = append(p, n.Unions[i].Path)
	}
	return p
}

// has reports whether what was found at a bind's target, on a mount at some path of the node, is none of the bind's.
func (p places) has(target, mountpoint string, mounted bool) bool {
	if mountpoint == target {
		return false
	}
	for _, dir := range []string{"/proc", "/sys", "/dev"} { // what the kernel shows of itself
		if isIn(mountpoint, dir) && !isIn(target, dir) {
			return true
		}
	}
	return mounted && slices.Contains(p, mountpoint)
}

// isIn reports whether a path is a directory's or is in it.
func isIn(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, path.Clean(dir)+"/")
}

// ownDoing reports whether a node has a bind's path lead to what is not the bind's: by the mount that it leads to, of those in a file like
// /proc/PID/mountinfo of the node's init. proc_pid_mountinfo(5), statx(2).
func (p places) ownDoing(mounts io.ReadSeeker, at target, path string) (bool, error) {
	if _, err := mounts.Seek(0, io.SeekStart); err != nil {
		return false, fmt.Errorf("look at a node's mounts: %w", err)
	}
	all, err := mountinfo.GetMountsFromReader(mounts, nil)
	if err != nil {
		return false, fmt.Errorf("look at a node's mounts: %w", err)
	}
	i := slices.IndexFunc(all, func(m *mountinfo.Info) bool { return uint64(m.ID) == at.mount })
	if i < 0 {
		return true, nil // it is beyond the node's root
	}
	return p.has(path, all[i].Mountpoint, at.mounted), nil
}

// mountsOf opens what a process has for mounts, to be read from whatever mount namespace. The caller closes it.
func mountsOf(pid int) (*os.File, error) { return os.Open("/proc/" + strconv.Itoa(pid) + "/mountinfo") }
