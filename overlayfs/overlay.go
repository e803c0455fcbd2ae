package overlayfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Overlay is the kernel's overlayfs. It has one writable layer, the union's own.
type Overlay struct{}

// Name is "overlay".
func (Overlay) Name() string { return "overlay" }

// Check refuses writable branches.
func (Overlay) Check(branches []Branch) error {
	for _, b := range branches {
		if b.Writable {
			return fmt.Errorf("%w: overlayfs cannot write to the layer %s in place; leave out rw, or use storage: fuse", errors.ErrUnsupported, b.Path)
		}
	}
	return nil
}

// Options are for every overlay that the host's root mounts: what a host may have set for overlays in general
// is not for ours.
const Options = ",redirect_dir=nofollow,index=off,metacopy=off"

// Mount mounts the overlay with the ids of the namespace's root, whose files those of the writable layer are.
func (Overlay) Mount(s *Spec) (int, error) {
	paths, err := s.branch()
	if err != nil {
		return -1, err
	}
	if err := s.inOwn("upper", "work"); err != nil {
		return -1, err
	}
	at := filepath.Join(s.Scratch, "union")
	if err := os.Mkdir(at, 0o755); err != nil {
		return -1, err
	}
	if err := copyRootAttributes(paths[0], filepath.Join(s.Own, "upper"), s.Base); err != nil {
		return -1, err
	}
	// Names relative to the thread's own directory: all options have to fit in a page, and whoever sees the mount, sees them.
	if err := unix.Chdir(s.Scratch); err != nil {
		return -1, err
	}
	defer func() { _ = unix.Chdir("/") }()
	var lower []string
	for _, p := range paths {
		lower = append(lower, filepath.Base(p))
	}
	if len(lower) == 1 {
		lower = append(lower, emptyLayer) // a single lower layer may have marks, too
		if err := os.Mkdir(filepath.Join(s.Scratch, emptyLayer), 0o755); err != nil {
			return -1, err
		}
	}
	own, err := filepath.Rel(s.Scratch, s.Own)
	if err != nil {
		return -1, err
	}
	data := "lowerdir=" + strings.Join(lower, ":") + ",upperdir=" + EscapeOption(own+"/upper") + ",workdir=" + EscapeOption(own+"/work") + Options
	if err := As(s.Base, func() error { return unix.Mount("overlay", "union", "overlay", unix.MS_NOSUID|unix.MS_NODEV, data) }); err != nil {
		return -1, fmt.Errorf("mount an overlay of %d layers: %w", len(paths), err)
	}
	// Of a workdir that it cannot use, overlayfs makes a read-only mount, without an error.
	var st unix.Statfs_t
	if err := unix.Statfs("union", &st); err != nil {
		return -1, err
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return -1, fmt.Errorf("mount an overlay: the file system of %s cannot hold a writable layer", s.Own)
	}
	return Clone(at, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, -1, false)
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
