package overlayfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Overlay is the kernel's overlayfs. It has one writable layer: the union's own, or the first branch.
type Overlay struct{}

// Name is "overlay".
func (Overlay) Name() string { return "overlay" }

// Check refuses writable branches but for the first.
func (Overlay) Check(branches []Branch) error {
	for i, b := range branches {
		if b.Writable && i > 0 {
			return fmt.Errorf("%w: overlayfs can write to the first layer only, and cannot write to the layer %s in place; leave out rw, or use storage: fuse", errors.ErrUnsupported, b.Path)
		}
	}
	return nil
}

// Options are for every overlay that the host's root mounts: what a host may have set for overlays in general
// is not for ours.
const Options = ",redirect_dir=nofollow,index=off,metacopy=off"

// Mount mounts the overlay with the ids of the namespace's root, whose files those of the writable layer are.
func (Overlay) Mount(s *Spec) (int, error) {
	at := filepath.Join(s.Scratch, "union")
	if err := os.Mkdir(at, 0o755); err != nil {
		return -1, err
	}
	// Names relative to the thread's own directory: all options have to fit in a page, and whoever sees the mount, sees them.
	if err := unix.Chdir(s.Scratch); err != nil {
		return -1, err
	}
	defer func() { _ = unix.Chdir("/") }()
	mount := mountOwn
	if s.Upper != nil {
		mount = s.Upper.mount
	}
	if err := mount(s, "union"); err != nil {
		return -1, err
	}
	// Of a workdir that it cannot use, overlayfs makes a read-only mount, without an error.
	var st unix.Statfs_t
	if err := unix.Statfs("union", &st); err != nil {
		return -1, err
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return -1, fmt.Errorf("mount an overlay: the file system of %s cannot hold a writable layer", s.writes())
	}
	return Clone(at, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, -1, false)
}

// mountOwn mounts an overlay over all branches with the union's own writable layer.
func mountOwn(s *Spec, at string) error {
	paths, err := s.branch(0)
	if err != nil {
		return err
	}
	if err := s.inOwn("upper", "work"); err != nil {
		return err
	}
	if err := copyRootAttributes(paths[0], filepath.Join(s.Own, "upper"), s.Base); err != nil {
		return err
	}
	lower, err := s.lower(paths)
	if err != nil {
		return err
	}
	own, err := filepath.Rel(s.Scratch, s.Own)
	if err != nil {
		return err
	}
	data := "lowerdir=" + lower + ",upperdir=" + EscapeOption(own+"/upper") + ",workdir=" + EscapeOption(own+"/work") + Options
	if err := As(s.Base, func() error { return unix.Mount("overlay", at, "overlay", unix.MS_NOSUID|unix.MS_NODEV, data) }); err != nil {
		return fmt.Errorf("mount an overlay of %d layers: %w", len(paths), err)
	}
	return nil
}

// lower is the option of lower layers that are attached in Scratch. It has two of them at least: a single one may have marks,
// too, and an upper layer alone is no overlay.
func (s *Spec) lower(paths []string) (string, error) {
	var lower []string
	for _, p := range paths {
		lower = append(lower, filepath.Base(p))
	}
	if len(lower) < 2 {
		lower = append(lower, emptyLayer)
		if err := os.Mkdir(filepath.Join(s.Scratch, emptyLayer), 0o755); err != nil {
			return "", err
		}
	}
	return strings.Join(lower, ":"), nil
}

// writes names where the writable layer is.
func (s *Spec) writes() string {
	if s.Upper != nil {
		return s.Upper.Layer
	}
	return s.Own
}

const emptyLayer = "empty"

// copyRootAttributes gives a fresh writable layer's root the owner and mode of the topmost layer's, which the
// overlay's root then has.
func copyRootAttributes(from, to string, base uint32) error {
	var st unix.Stat_t
	if err := unix.Stat(from, &st); err != nil {
		return fmt.Errorf("stat %s: %w", from, err)
	}
	names, err := os.ReadDir(to)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return nil
	}
	return As(base, func() error {
		if err := unix.Chown(to, int(st.Uid), int(st.Gid)); err != nil {
			return fmt.Errorf("chown %s: %w", to, err)
		}
		return unix.Chmod(to, st.Mode&0o7777)
	})
}
