package attach

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/inroot"
)

const resolvPath = "etc/resolv.conf"

// resolvConf opens the target's resolv.conf and reads it. Symbolic links in it lead nowhere outside of the target's
// root. A file that is seen there and that root of the target could not write is refused: the target may have a link, or a mount
// of its own, where a directory of the host is bound.
func resolvConf(root int, own owners) (*os.File, []byte, error) {
	f, is, err := inroot.Regular(root, resolvPath, unix.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err == nil {
		err = own.check(is.Uid)
	}
	if host, herr := os.Stat("/etc/resolv.conf"); err == nil && herr == nil && os.SameFile(st, host) {
		err = errors.New("it is the host's own: the target has no files of its own")
	}
	const most = 64 << 10
	b := make([]byte, most)
	n := 0
	if err == nil {
		if n, err = f.ReadAt(b, 0); err == nil {
			err = fmt.Errorf("it has more than %d bytes", most-1)
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, b[:n], nil
}

// placeOf finds where a target that has no resolv.conf is to have one: in its /etc, or where a symbolic link to
// nothing leads. It opens that directory and returns the path from the target's root.
func placeOf(root int, own owners) (dir *os.File, place string, err error) {
	place = resolvPath
	const maxLinks = 40
	for range maxLinks {
		up, base := path.Split(place)
		fd, err := inroot.Open(root, path.Join(".", up), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return nil, "", fmt.Errorf("its directory /%s: %w", path.Clean(up), err)
		}
		dir := os.NewFile(uintptr(fd), up)
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(fd, base, target)
		switch {
		case errors.Is(err, unix.ENOENT):
			if err := ownDirectory(dir, up, own); err != nil {
				_ = dir.Close()
				return nil, "", err
			}
			return dir, place, nil
		case err != nil:
			_ = dir.Close()
			return nil, "", err
		}
		_ = dir.Close()
		if place = string(target[:n]); !path.IsAbs(place) {
			place = path.Join("/", up, place)
		}
		place = path.Clean(place)[1:]
	}
	return nil, "", unix.ELOOP
}

// ownDirectory refuses a directory that is the host's, too, or somebody's who is none of the target's users.
func ownDirectory(dir *os.File, name string, own owners) error {
	var is unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &is); err != nil {
		return err
	}
	if err := own.check(is.Uid); err != nil {
		return fmt.Errorf("its directory /%s: %w", path.Clean(name), err)
	}
	st, err := dir.Stat()
	if err == nil {
		if host, herr := os.Stat("/" + name); herr == nil && os.SameFile(st, host) {
			err = errors.New("there is none, and to make one would be to make the host's: the target has no files of its own")
		}
	}
	return err
}

// asOwner does something on behalf of a directory's owner. A file system of another user namespace knows no other users,
// root of the host included. setfsuid(2) is of one thread.
func asOwner(dir *os.File, do func() error) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	set := func(uid, gid uint32) {
		_, _, _ = unix.RawSyscall(unix.SYS_SETFSGID, uintptr(gid), 0, 0) // neither reports an error
		_, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0)
	}
	set(st.Uid, st.Gid)
	defer set(uint32(os.Geteuid()), uint32(os.Getegid()))
	return do()
}

// restoreResolv puts the target's former resolv.conf back, unless somebody has changed it since.
func (r *Record) restoreResolv(ns *os.File) error {
	if r.Resolv == nil || r.Target.PID == 0 {
		return nil
	}
	t := &target{ref: r.Target.Ref, netns: ns, place: r.Target}
	root, err := t.root()
	if err != nil {
		return nil //nolint:nilerr // its process has ended, and with it its files
	}
	defer unix.Close(root)
	own, err := ownersOf(r.Target.PID)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	if r.Resolv.Place != "" {
		return r.removeCreated(root, own)
	}
	f, now, err := resolvConf(root, own)
	if passing(err) {
		return fmt.Errorf("put its resolv.conf back: %w", err)
	}
	if err != nil {
		return nil //nolint:nilerr // it has removed the file itself
	}
	defer f.Close()
	if string(now) != string(r.Resolv.After) {
		return nil
	}
	if _, err := f.WriteAt(r.Resolv.Before, 0); err != nil {
		return fmt.Errorf("put its resolv.conf back: %w", err)
	}
	if err := f.Truncate(int64(len(r.Resolv.Before))); err != nil {
		return fmt.Errorf("put its resolv.conf back: %w", err)
	}
	return nil
}

// passing reports whether an error is this process's or the machine's for the moment, and says nothing of a file.
func passing(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EAGAIN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// removeCreated removes the resolv.conf that was made for a target that had none, unless somebody has changed it since.
func (r *Record) removeCreated(root int, own owners) error {
	up, base := path.Split(r.Resolv.Place)
	fd, err := inroot.Open(root, path.Join(".", up), unix.O_PATH|unix.O_DIRECTORY, 0)
	if passing(err) {
		return fmt.Errorf("remove the resolv.conf that was made for it: %w", err)
	}
	if err != nil {
		return nil //nolint:nilerr // the directory is gone, and it with that
	}
	dir := os.NewFile(uintptr(fd), up)
	defer dir.Close()
	if ownDirectory(dir, up, own) != nil {
		return nil // somebody has put another directory there
	}
	file, err := inroot.Open(fd, base, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, unix.RESOLVE_NO_SYMLINKS)
	if passing(err) {
		return fmt.Errorf("remove the resolv.conf that was made for it: %w", err)
	}
	if err != nil {
		return nil //nolint:nilerr // it was removed, or is something else by now
	}
	f := os.NewFile(uintptr(file), base)
	defer f.Close()
	now := make([]byte, len(r.Resolv.After)+1)
	n, err := f.ReadAt(now, 0)
	if !errors.Is(err, io.EOF) || !strings.HasPrefix(string(r.Resolv.After), string(now[:n])) {
		return nil // another one by now; a part of ours where attach was killed
	}
	if err := failpoint.Hit("remove", "resolv.conf"); err != nil {
		return err
	}
	err = asOwner(dir, func() error { return unix.Unlinkat(fd, base, 0) })
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove the resolv.conf that was made for it: %w", err)
	}
	return nil
}
