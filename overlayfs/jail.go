package overlayfs

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
)

// A server is steered by whoever uses its mount: mergerfs takes other branches from an extended attribute, and goes
// by paths, in which others may put symbolic links meanwhile. So it gets a root that has its branches and what it
// takes to run, and nothing else. That root is what protects the host, whatever the server can be told to do:
//
//	/b0 /b1 /own            branches, in which no symbolic link is followed
//	/bin/mergerfs           the program
//	/bin/fusermount         nsnet, which gives it the connection of the mount
//	/lib                    its libraries, flat
//	/dev/fuse /dev/null
//	/etc/passwd /etc/group  with Users
//	/empty                  covers what is to be hidden in the mount
//	/union                  where it is told to mount
//
// The dynamic linker is where the program wants it. All but writable branches is read-only.
const (
	jailProgram = "/bin/mergerfs"
	jailHelper  = "/bin/fusermount"
	jailLibs    = "/lib"
	jailUnion   = "/union"
	jailEmpty   = "/empty"
)

// jail makes Scratch a mount of its own that has what a program needs to run. The caller adds branches, then seals it.
func (s *Spec) jail(program string) error {
	fd, err := Clone(s.Scratch, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC|unix.MOUNT_ATTR_NOSYMFOLLOW, -1, false)
	if err != nil {
		return err
	}
	if err := attach(fd, s.Scratch); err != nil {
		return err
	}
	linker, libraries, err := Libraries(program)
	if err != nil {
		return err
	}
	shown := map[string]string{jailProgram: program, jailHelper: s.Self}
	if linker != "" {
		shown[linker] = linker
	}
	for name, path := range libraries {
		shown[filepath.Join(jailLibs, name)] = path
	}
	for _, path := range []string{"/etc/passwd", "/etc/group"} {
		if _, err := os.Stat(path); s.Users && err == nil {
			shown[path] = path
		}
	}
	for at, path := range shown {
		if err := s.show(path, at); err != nil {
			return err
		}
	}
	for name, device := range map[string]uint64{"/dev/fuse": unix.Mkdev(10, 229), "/dev/null": unix.Mkdev(1, 3)} {
		if err := s.device(name, device); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(s.Scratch, jailUnion), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Scratch, jailEmpty), nil, 0o444)
}

// show has a file of the host at a path of the server's root, read-only.
func (s *Spec) show(path, at string) error {
	at = filepath.Join(s.Scratch, at)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(at, nil, 0o444); err != nil {
		return err
	}
	fd, err := Clone(path, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, -1, false)
	if err != nil {
		return err
	}
	return attach(fd, at)
}

// device makes a device that everybody may open. Opening /dev/fuse gives nobody anything: mounting is what needs a
// right, and that is one over the own namespace.
func (s *Spec) device(at string, device uint64) error {
	at = filepath.Join(s.Scratch, at)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := failpoint.Hit("mknod", at); err != nil {
		return fmt.Errorf("create device %s: %w", at, err)
	}
	if err := unix.Mknod(at, unix.S_IFCHR|0o666, int(device)); err != nil {
		return fmt.Errorf("create device %s: %w", at, err)
	}
	return unix.Chmod(at, 0o666) // whatever the umask
}

// seal makes the server's root read-only. A mount namespace of less privilege, which the server's is, cannot undo that.
func (s *Spec) seal() error {
	a := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := failpoint.Hit("mount_setattr", s.Scratch); err != nil {
		return fmt.Errorf("make the root of a server read-only: %w", err)
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, s.Scratch, 0, &a); err != nil {
		return fmt.Errorf("make the root of a server read-only: %w", err)
	}
	return nil
}
