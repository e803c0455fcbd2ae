package lab

import (
	"fmt"
	"os"
	"path/filepath"
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
// files that belong to its ids, and the image's, the topmost first. It runs on the mounter's thread.
func (m *mounter) assemble(n *topology.Node, s *proto.NodeSetup, layers []string, userns int, base uint32) (int, error) {
	dir := filepath.Join(m.at, "of", n.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return -1, err
	}
	if err := unix.Mount("nsnet", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return -1, fmt.Errorf("mount the writable layer: %w", err)
	}
	for _, d := range []string{"weak", "empty", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return -1, err
		}
	}
	if err := makeLayer(filepath.Join(dir, "common"), overlayfs.Shift(m.common[commonKind(n.Image)], base), overlayfs.TrustedMark); err != nil {
		return -1, fmt.Errorf("make the common layer: %w", err)
	}
	if err := makeLayer(filepath.Join(dir, "upper"), overlayfs.Shift(ownFiles(n, s), base), overlayfs.TrustedMark); err != nil {
		return -1, fmt.Errorf("write the node's own files: %w", err)
	}
	var names []string // short ones: the options of all layers together have to fit in a page
	for i, layer := range layers {
		names = append(names, fmt.Sprintf("l%d", i))
		if err := attachLayer(layer, filepath.Join(dir, names[i]), userns); err != nil {
			return -1, err
		}
	}
	// The thread's own directory: nobody else may look into the one of the record, and nobody is
	// who mounts the weak overlay.
	if err := unix.Chdir(dir); err != nil {
		return -1, err
	}
	defer func() { _ = unix.Chdir("/") }()
	lower := strings.Join(names, ":")
	if container.IsWeak(n) {
		if err := mountWeak("weak", "lowerdir="+lower+":empty", base); err != nil {
			return -1, fmt.Errorf("mount the host's root: %w", err)
		}
		lower = "weak"
	}
	// What a host may have set for overlays in general is not for this one.
	const options = ",upperdir=upper,workdir=work,redirect_dir=nofollow,index=off,metacopy=off"
	if err := unix.Mount("overlay", "root", "overlay", 0, "lowerdir=common:"+lower+options); err != nil {
		return -1, fmt.Errorf("mount the root filesystem: %w", err)
	}
	attr := uint64(unix.MOUNT_ATTR_NODEV)
	if n.Privileged {
		attr = 0
	}
	return clone(filepath.Join(dir, "root"), attr, -1, false)
}

// attachLayer mounts a layer of an image at a new directory.
func attachLayer(layer, at string, userns int) error {
	if err := os.Mkdir(at, 0o755); err != nil {
		return err
	}
	fd, err := clone(layer, unix.MOUNT_ATTR_RDONLY, userns, false)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attach the image: %w", err)
	}
	return nil
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
// read-only overlay as nobody with CAP_SYS_ADMIN alone. That the overlay keeps these
// credentials is what closes to the node what the host closes to its ordinary users.
// Credentials are a thread's own, and the mounter's thread serves nobody else.
func mountWeak(at, data string, base uint32) (err error) {
	const nobody = 65534
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
	id := int(base) + nobody
	if err := unix.Setfsgid(id); err != nil {
		return fmt.Errorf("become nobody: %w", err)
	}
	if err := unix.Setfsuid(id); err != nil {
		return fmt.Errorf("become nobody: %w", err)
	}
	have = had
	have[0].Effective, have[1].Effective = 1<<unix.CAP_SYS_ADMIN, 0
	if err := unix.Capset(&header, &have[0]); err != nil {
		return fmt.Errorf("give up capabilities: %w", err)
	}
	return unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, data)
}
