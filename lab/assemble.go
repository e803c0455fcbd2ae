package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/overlayfs"
	"github.com/nsnet/nsnet/topology"
)

// assemble makes a node's whole root, and returns a detached mount of it. It is for kernels whose
// tmpfs has no extended attributes of users (Linux 6.6), and then perhaps no idmapped mounts (6.3):
// an overlay that a node init mounts could not even remove a directory there. The host's root has
// trusted.* ones. The layers are those of container.BootProgram, on a tmpfs of the node's own, with
// files that belong to its ids. It runs on the mounter's thread.
func (m *mounter) assemble(n *topology.Node, s *proto.NodeSetup, userns int, base uint32) (assembled, error) {
	none := assembled{}
	dir := filepath.Join(m.at, m.turn+"of", n.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return none, err
	}
	data := "mode=0755,size=" + container.TmpfsSize(n.Writable.Size)
	if err := unix.Mount("nsnet", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
		return none, fmt.Errorf("mount the writable layer: %w", err)
	}
	for _, d := range []string{"weak", "empty", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return none, err
		}
	}
	commons := map[string]string{"common": m.commons.of(n)}
	if n.Image.Kind == topology.ImageHost && len(n.Layers) > 0 {
		commons["below"] = hostCommon
	}
	for name, layer := range commons {
		if err := makeLayer(filepath.Join(dir, name), overlayfs.Shift(m.commons.entries(layer), base), overlayfs.TrustedMark); err != nil {
			return none, fmt.Errorf("make the common layer: %w", err)
		}
	}
	if err := makeLayer(filepath.Join(dir, "upper"), overlayfs.Shift(ownFiles(n, s), base), overlayfs.TrustedMark); err != nil {
		return none, fmt.Errorf("write the node's own files: %w", err)
	}
	lower, upper, work := []string{"common"}, "upper", "work"
	if n.Writable.Persist {
		if err := m.owned(n, rootTree, filepath.Join(dir, "keep"), userns, base); err != nil {
			return none, err
		}
		if lower, upper, work = []string{"upper", "common"}, "keep/upper", "keep/work"; s.Tried {
			lower, upper, work = []string{"keep/upper", "common"}, "upper", "work" // as container.BootProgram has it
		}
	}
	above, image := m.stack(n)
	below := commons["below"] != ""
	if below {
		above = above[:len(above)-1] // made for this node
	}
	a, err := m.files.attachLayers(dir, "a", above, userns)
	if err != nil {
		return none, err
	}
	lower = append(lower, a...)
	if below {
		lower = append(lower, "below")
	}
	l, err := m.files.attachLayers(dir, "l", image, userns)
	if err != nil {
		return none, err
	}
	// The thread's own directory: nobody else may look into the one of the record, and nobody is
	// who mounts the weak overlay.
	if err := unix.Chdir(dir); err != nil {
		return none, err
	}
	defer func() { _ = unix.Chdir("/") }()
	if container.IsWeak(n) {
		if err := mountWeak("weak", "lowerdir="+strings.Join(l, ":")+":empty", base); err != nil {
			return none, fmt.Errorf("mount the host's root: %w", err)
		}
		l = []string{"weak"}
	} else if isApart(n) {
		if err := unix.Mount("overlay", "weak", "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(l, ":")+":empty"+overlayfs.Options); err != nil {
			return none, fmt.Errorf("mount the image: %w", err)
		}
		l = []string{"weak"}
	}
	options := "lowerdir=" + strings.Join(append(lower, l...), ":") + ",upperdir=" + upper + ",workdir=" + work + overlayfs.Options
	ids := uint32(0)
	if n.Writable.Persist && !s.Tried {
		ids = base
	}
	err = overlayfs.As(ids, func() error { return unix.Mount("overlay", "root", "overlay", 0, options) })
	if err != nil {
		return none, fmt.Errorf("mount the root filesystem: %w", err)
	}
	attr := uint64(unix.MOUNT_ATTR_NODEV)
	if n.Privileged {
		attr = 0
	}
	r := assembled{}
	if r.upper, err = unix.Open(filepath.Join(dir, upper), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return none, err
	}
	if r.root, err = clone(filepath.Join(dir, "root"), attr, -1, false); err != nil {
		_ = unix.Close(r.upper)
		return none, err
	}
	return r, nil
}

// assembled is a whole root, as a detached mount, and its writable layer, open.
type assembled struct{ root, upper int }

// attachLayers attaches layers to short names in dir, idmapped.
func (f *hostFiles) attachLayers(dir, prefix string, layers []string, userns int) ([]string, error) {
	var names []string
	for i, layer := range layers {
		name := prefix + strconv.Itoa(i)
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return nil, err
		}
		fd, err := f.cloneLayer(layer, userns)
		if err != nil {
			return nil, err
		}
		err = unix.MoveMount(fd, "", unix.AT_FDCWD, filepath.Join(dir, name), unix.MOVE_MOUNT_F_EMPTY_PATH)
		_ = unix.Close(fd)
		if err != nil {
			return nil, fmt.Errorf("attach %s: %w", layer, err)
		}
		names = append(names, name)
	}
	return names, nil
}

// ownFiles is a node's upper layer as it begins.
func ownFiles(n *topology.Node, s *proto.NodeSetup) []overlayfs.Entry {
	var c layer
	c.dir(".")
	for _, f := range container.Files(n, s.Hosts, s.Resolv) {
		for at, r := range f.Path {
			if r == '/' {
				c.dir(f.Path[:at])
			}
		}
		c.file(f.Path, f.Content)
	}
	return c.sorted()
}

// mountWeak does what nodeinit's overlayWeak does, for a node whose ids begin at base: it mounts a
// read-only overlay as an id that owns no file with CAP_SYS_ADMIN alone. That the overlay keeps these
// credentials is what closes to the node what the host closes to its ordinary users.
// Credentials are a thread's own, and the mounter's thread serves nobody else.
func mountWeak(at, data string, base uint32) (err error) {
	const ownerless = 65535 // as there
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had, have [2]unix.CapUserData
	if err := unix.Capget(&header, &had[0]); err != nil {
		return fmt.Errorf("look at capabilities: %w", err)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); e != 0 {
		return fmt.Errorf("leave all groups: %w", e)
	}
	defer func() {
		_ = unix.Setfsuid(0)
		_ = unix.Setfsgid(0)
		if e := unix.Capset(&header, &had[0]); e != nil && err == nil {
			err = fmt.Errorf("take capabilities back: %w", e)
		}
	}()
	id := int(base) + ownerless
	if err := unix.Setfsgid(id); err != nil {
		return fmt.Errorf("become an id without files: %w", err)
	}
	if err := unix.Setfsuid(id); err != nil {
		return fmt.Errorf("become an id without files: %w", err)
	}
	have = had
	have[0].Effective, have[1].Effective = 1<<unix.CAP_SYS_ADMIN, 0
	if err := unix.Capset(&header, &have[0]); err != nil {
		return fmt.Errorf("give up capabilities: %w", err)
	}
	return unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, data)
}
