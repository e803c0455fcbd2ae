package unpack

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const modeBits = 0o7777

// attributes gives an open file or directory what the entry says. chown(2) takes setuid bits and capabilities away,
// so that it comes first. name is given for directories, whose times are set at the end.
func (u *unpacker) attributes(fd int, name string, h *tar.Header) error {
	if u.o.KeepOwner {
		if err := checkOwner(h); err != nil {
			return err
		}
		if err := unix.Fchown(fd, h.Uid, h.Gid); err != nil {
			return fmt.Errorf("set the owner: %w", err)
		}
	}
	if err := unix.Fchmod(fd, uint32(h.Mode)&modeBits); err != nil {
		return fmt.Errorf("set the mode: %w", err)
	}
	if err := u.xattrs(fd, h); err != nil {
		return err
	}
	t := timespec(h.ModTime)
	if name != "" {
		u.dirs = append(u.dirs, dirTime{name, t})
		return nil
	}
	return setTime(fd, "", t, unix.AT_EMPTY_PATH)
}

// attributesAt is attributes for what is not opened: symbolic links and fifos, which nobody else can exchange here.
func (u *unpacker) attributesAt(parent int, base string, h *tar.Header) error {
	if u.o.KeepOwner {
		if err := checkOwner(h); err != nil {
			return err
		}
		if err := unix.Fchownat(parent, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("set the owner: %w", err)
		}
	}
	if h.Typeflag == tar.TypeFifo {
		if err := unix.Fchmodat(parent, base, uint32(h.Mode)&modeBits, 0); err != nil {
			return fmt.Errorf("set the mode: %w", err)
		}
	}
	return setTime(parent, base, timespec(h.ModTime), unix.AT_SYMLINK_NOFOLLOW)
}

// checkOwner refuses ids that chown(2) takes for something else: -1 is "leave it".
func checkOwner(h *tar.Header) error {
	if h.Uid < 0 || h.Gid < 0 || h.Uid >= math.MaxUint32 || h.Gid >= math.MaxUint32 {
		return fmt.Errorf("%w: owner %d:%d", ErrRefused, h.Uid, h.Gid)
	}
	return nil
}

func timespec(t time.Time) unix.Timespec {
	ts, err := unix.TimeToTimespec(t)
	if err != nil || t.IsZero() {
		return unix.Timespec{}
	}
	return ts
}

func setTime(fd int, name string, t unix.Timespec, flags int) error {
	if err := unix.UtimesNanoAt(fd, name, []unix.Timespec{t, t}, flags); err != nil {
		return fmt.Errorf("set the time: %w", err)
	}
	return nil
}

// setDirTime sets a directory's time, unless something else has its name by now.
func (u *unpacker) setDirTime(d dirTime) error {
	fd, err := u.resolve(d.name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return nil //nolint:nilerr // removed by a later entry
	}
	defer unix.Close(fd)
	return setTime(fd, "", d.time, unix.AT_EMPTY_PATH)
}

// xattrs sets what of an entry's extended attributes means the same in every node: file capabilities, and those of
// users save overlayfs's own.
func (u *unpacker) xattrs(fd int, h *tar.Header) error {
	const prefix = "SCHILY.xattr."
	for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		name, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		value := []byte(h.PAXRecords[key])
		switch {
		case name == "security.capability":
			if value = capability(value); value == nil || !u.o.KeepOwner {
				continue
			}
		case !strings.HasPrefix(name, "user."), strings.HasPrefix(name, "user.overlay."), len(name) > unix.NAME_MAX:
			continue
		}
		err := unix.Fsetxattr(fd, name, value, 0)
		if errors.Is(err, unix.EOPNOTSUPP) && strings.HasPrefix(name, "user.") {
			continue // the store's file system has none; nothing that runs relies on them
		}
		if err != nil {
			return fmt.Errorf("set the attribute %s: %w", name, err)
		}
	}
	return nil
}

// capability is a file capability as it is kept, or nil where it is malformed or somebody else's.
// struct vfs_ns_cap_data of linux/capability.h.
func capability(b []byte) []byte {
	const (
		v2, v3       = 0x02000000, 0x03000000
		effective    = 1
		size2, size3 = 20, 24
	)
	if len(b) < size2 {
		return nil
	}
	magic := binary.LittleEndian.Uint32(b)
	switch {
	case magic&^effective == v2 && len(b) == size2:
		return b
	case magic&^effective == v3 && len(b) == size3 && binary.LittleEndian.Uint32(b[size2:]) == 0:
		out := slices.Clone(b[:size2])
		binary.LittleEndian.PutUint32(out, v2|magic&effective)
		return out
	}
	return nil
}
