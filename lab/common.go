package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/container/bootdirs"
	"github.com/nsnet/nsnet/dns"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/overlayfs"
	"github.com/nsnet/nsnet/topology"
)

// Names of common layers. Nodes of other images than the host's have one for each image whose services
// expect directories that the image has not.
const (
	hostCommon  = "host"  // of nodes on the host's root
	otherCommon = "other" // of all others, with a number behind where there are several
)

const hostsFile = "etc/hosts"

// commonLayers are the layers that nodes of a lab have in common, above their images.
type commonLayers struct {
	layers []commonLayer
	hosts  []byte            // /etc/hosts, one file in all of them
	byNode map[string]string // names of layers
}

type commonLayer struct {
	name    string
	entries []overlayfs.Entry // but for /etc/hosts, in the order that overlayfs.Apply wants
}

// of returns the name of a node's common layer.
func (c *commonLayers) of(n *topology.Node) string { return c.byNode[n.Name] }

// entries returns what is in a layer.
func (c *commonLayers) entries(name string) []overlayfs.Entry {
	for _, l := range c.layers {
		if l.name == name {
			return append(slices.Clip(l.entries), overlayfs.Entry{Path: hostsFile, Kind: overlayfs.File, Mode: 0o644, Data: c.hosts})
		}
	}
	return nil
}

// write makes the layers below a directory. Their /etc/hosts are one file, which writeHosts has made there.
func (c *commonLayers) write(at string, mark overlayfs.Mark) error {
	for i, l := range c.layers {
		if err := makeLayer(filepath.Join(at, l.name), l.entries, mark); err != nil {
			return err
		}
		file := filepath.Join(at, l.name, hostsFile)
		if i == 0 {
			if err := os.Rename(filepath.Join(at, newHosts), file); err != nil {
				return err
			}
			continue
		}
		if err := failpoint.Hit("link", file); err != nil {
			return err
		}
		if err := os.Link(filepath.Join(at, c.layers[0].name, hostsFile), file); err != nil {
			return err
		}
	}
	return nil
}

// newHosts is where /etc/hosts of the common layers is until there are any.
const newHosts = "etc-hosts"

// writeHosts makes /etc/hosts of the common layers-to-be below a directory, and returns it open for writing.
func writeHosts(at string, l *topology.Lab) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(at, newHosts), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(dns.Hosts(l)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// planCommon returns the common layers of these nodes of a lab.
func (m *mounter) planCommon(l *topology.Lab, nodes []topology.Node) (commonLayers, error) {
	all := commonLayers{byNode: map[string]string{}, hosts: dns.Hosts(l)}
	if slices.ContainsFunc(nodes, func(n topology.Node) bool { return n.Image.Kind == topology.ImageHost }) {
		entries, err := hostLayer()
		if err != nil {
			return all, err
		}
		all.layers = append(all.layers, commonLayer{hostCommon, entries})
	}
	roots := map[string]string{} // names of layers, by what they are for
	found := map[string]string{} // and by the directories in them
	for i := range nodes {
		n := &nodes[i]
		if n.Image.Kind == topology.ImageHost && len(n.Layers) == 0 {
			all.byNode[n.Name] = hostCommon
			continue
		}
		stack := m.branchPaths(n)
		key := strings.Join(stack, "\x00")
		name, known := roots[key]
		if !known {
			declaring := stack
			if n.Image.Kind == topology.ImageHost {
				declaring = stack[:len(stack)-1] // what the host's services expect is in the layer below
			}
			c, boot, err := m.otherLayer(declaring, stack)
			if err != nil {
				return all, err
			}
			if name, known = found[boot]; !known {
				if name = otherCommon; len(found) > 0 {
					name = fmt.Sprintf("%s%d", otherCommon, len(found))
				}
				found[boot] = name
				all.layers = append(all.layers, commonLayer{name, c})
			}
			roots[key] = name
		}
		all.byNode[n.Name] = name
	}
	return all, nil
}

// hostLayer returns what all nodes on the host's root have above it.
func hostLayer() ([]overlayfs.Entry, error) {
	root, err := bootdirs.Open("/")
	if err != nil {
		return nil, fmt.Errorf("look at the host's image: %w", err)
	}
	defer root.Close()
	found := make(chan []bootdirs.Dir, 1)
	go func() { found <- root.Find() }() // both take some milliseconds
	entries, err := overlayfs.HostSkeleton("/")
	dirs := <-found
	if err != nil {
		return nil, fmt.Errorf("look at the host's image: %w", err)
	}
	var c layer
	for _, e := range entries {
		if e.Path != hostsFile {
			c.put(e)
		}
	}
	c.mountPoints()
	c.services(dirs, root)
	if conf := hostResolvConf(); conf != nil {
		c.file("etc/resolv.conf", conf)
	}
	return c.sorted(), nil
}

// otherLayer returns what all nodes have above a root of the directories in stack, for the services that
// some of these declare. It returns a text, too, which is another for another layer.
func (m *mounter) otherLayer(declaring, stack []string) ([]overlayfs.Entry, string, error) {
	var c layer
	c.mountPoints()
	before := len(c.entries)
	opened, done, err := m.files.openDirs(stack)
	if err != nil {
		return nil, "", fmt.Errorf("look at the image: %w", err)
	}
	defer done()
	declaring, stack = opened[:len(declaring)], opened
	services, err := bootdirs.Open(declaring...)
	if err != nil {
		return nil, "", fmt.Errorf("look at the image: %w", err)
	}
	dirs := services.Find()
	services.Close()
	root, err := bootdirs.Open(stack...)
	if err != nil {
		return nil, "", fmt.Errorf("look at the image: %w", err)
	}
	defer root.Close()
	c.services(dirs, root)
	boot := fmt.Sprintf("%v", c.entries[before:])
	return c.sorted(), boot, nil
}

// services adds the directories that the services of the root below expect and that are not there.
func (c *layer) services(dirs []bootdirs.Dir, below *bootdirs.Root) {
	for _, d := range dirs {
		c.service(d, below)
	}
	c.named(below)
}

// service adds a directory and those on the way to it, unless there is something at its path or, on the
// way, something that is no directory.
func (c *layer) service(d bootdirs.Dir, below *bootdirs.Root) {
	var add []overlayfs.Entry
	hidden := false // nothing of the root below is seen there
	for at := range len(d.Path) + 1 {
		if at < len(d.Path) && d.Path[at] != '/' {
			continue
		}
		path := d.Path[:at]
		if i, ok := c.index[path]; ok {
			if k := c.entries[i].Kind; k != overlayfs.Dir && k != overlayfs.Opaque {
				return
			}
			hidden = hidden || c.entries[i].Kind == overlayfs.Opaque
			continue
		}
		e := overlayfs.Entry{Path: path, Kind: overlayfs.Dir, Mode: 0o755}
		if !hidden {
			state, is := below.Stat(path)
			switch state {
			case bootdirs.Other:
				return
			case bootdirs.Directory:
				e.Mode, e.UID, e.GID = is.Mode, is.UID, is.GID
			case bootdirs.Absent, bootdirs.Mount:
				hidden = true // of what is mounted there no node sees anything
			}
			if path == d.Path && state != bootdirs.Absent {
				return
			}
		}
		if path == d.Path {
			e.Mode, e.UID, e.GID = d.Mode, d.UID, d.GID
		}
		add = append(add, e)
	}
	for _, e := range add {
		c.put(e)
	}
}

// named gives the node's network namespace a name, which ip netns lists, where there is a dhcpcd: by
// that alone it knows that it is not to wait for udev, which no node has.
func (c *layer) named(below *bootdirs.Root) {
	const dir = "run/netns"
	for _, program := range []string{"usr/sbin/dhcpcd", "sbin/dhcpcd"} {
		if state, _ := below.Stat(program); state != bootdirs.Other {
			continue
		}
		c.service(bootdirs.Dir{Path: dir, Mode: 0o755}, below)
		if _, ok := c.index[dir]; ok {
			c.put(overlayfs.Entry{Path: dir + "/self", Kind: overlayfs.Symlink, Data: []byte("/proc/self/ns/net")})
		}
		return
	}
}
