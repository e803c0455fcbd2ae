package lab

import (
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/overlayfs"
)

// prefix is what the paths of all that a directory holds begin with.
func prefix(dir string) string {
	if dir == "." {
		return ""
	}
	return dir
}

// layer is a layer in the making.
type layer struct {
	entries []overlayfs.Entry
	index   map[string]int // by path
}

// put adds an entry, or replaces the one of its path.
func (c *layer) put(e overlayfs.Entry) {
	if i, ok := c.index[e.Path]; ok {
		c.entries[i] = e
		return
	}
	if c.index == nil {
		c.index = map[string]int{}
	}
	c.index[e.Path] = len(c.entries)
	c.entries = append(c.entries, e)
}

func (c *layer) file(path string, content []byte) {
	c.put(overlayfs.Entry{Path: path, Kind: overlayfs.File, Mode: 0o644, Data: content})
}

// dir adds a directory unless it is there.
func (c *layer) dir(path string) {
	if _, ok := c.index[path]; !ok {
		c.put(overlayfs.Entry{Path: path, Kind: overlayfs.Dir, Mode: 0o755})
	}
}

// sorted are the entries, a directory before what it holds.
func (c *layer) sorted() []overlayfs.Entry {
	slices.SortFunc(c.entries, func(a, b overlayfs.Entry) int { return strings.Compare(prefix(a.Path), prefix(b.Path)) })
	return c.entries
}

// mountPoints adds what every node mounts its devices and the kernel's file systems on. They
// hide what an image has there, so that none is a symbolic link.
func (c *layer) mountPoints() {
	dirs := container.CommonDirs()
	for _, d := range slices.Sorted(maps.Keys(dirs)) {
		if dirs[d] {
			c.put(overlayfs.Entry{Path: d, Kind: overlayfs.Opaque, Mode: 0o755})
		} else {
			c.dir(d)
		}
	}
	for name, target := range container.CommonLinks() {
		c.put(overlayfs.Entry{Path: name, Kind: overlayfs.Symlink, Data: []byte(target)})
	}
	for _, d := range container.DeviceNodes() {
		c.file("dev/"+d, nil)
	}
}

// hostResolvConf is for nodes on the host's image where the host's file is a link, which mostly
// leads below /run, where a node has nothing of the host: the host's nameservers. Instead of
// systemd-resolved's own address, which no node can reach, they get those behind it. Otherwise, and
// where the link leads nowhere, what the image has is right: nil.
func hostResolvConf() []byte {
	const path, upstream = "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"
	if st, err := os.Lstat(path); err != nil || st.Mode().Type() != fs.ModeSymlink {
		return nil
	}
	b, err := os.ReadFile(upstream)
	if err != nil {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return nil
	}
	return append([]byte{}, b...) // an empty file is one, too
}

// makeLayer makes a directory with these entries.
func makeLayer(dir string, entries []overlayfs.Entry, mark overlayfs.Mark) error {
	if err := failpoint.Hit("make layer", dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return overlayfs.Apply(fd, entries, mark)
}
