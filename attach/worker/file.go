package worker

import (
	"syscall"
	"unsafe"
)

// create makes a file of a directory. A file system of another user namespace knows no other users than that one's, root of
// the host included, so that it is the directory's owner who makes it.
func create(dir int, name string, content []byte) syscall.Errno {
	fd := -1
	e := asOwner(dir, func() (err error) {
		fd, err = syscall.Openat(dir, name, syscall.O_CREAT|syscall.O_EXCL|syscall.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o644)
		return err
	})
	if e != 0 {
		return e
	}
	defer syscall.Close(fd)
	return write(fd, content)
}

// remove removes a file that create has made, wholly or in part, and nobody else's.
func remove(dir int, name string, content []byte) syscall.Errno {
	fd, err := syscall.Openat(dir, name, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	if err != nil {
		return errnoOf(err)
	}
	now, e := readAll(fd)
	_ = syscall.Close(fd)
	if e != 0 || len(now) > len(content) || string(now) != string(content[:len(now)]) {
		return e
	}
	return asOwner(dir, func() error { return unlink(dir, name) })
}

// asOwner does something as a directory's owner. setfsuid(2), of this thread alone.
func asOwner(dir int, do func() error) syscall.Errno {
	var st syscall.Stat_t
	if err := syscall.Fstat(dir, &st); err != nil {
		return errnoOf(err)
	}
	set := func(uid, gid uint32) {
		syscall.RawSyscall(syscall.SYS_SETFSGID, uintptr(gid), 0, 0) //nolint:errcheck // reports through a second call only
		syscall.RawSyscall(syscall.SYS_SETFSUID, uintptr(uid), 0, 0) //nolint:errcheck // as above
	}
	set(st.Uid, st.Gid)
	err := do()
	set(uint32(syscall.Geteuid()), uint32(syscall.Getegid()))
	return errnoOf(err)
}

// unlink removes a name of a directory. unlinkat(2).
func unlink(dir int, name string) error {
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	if _, _, e := syscall.RawSyscall(syscall.SYS_UNLINKAT, uintptr(dir), uintptr(unsafe.Pointer(p)), 0); e != 0 {
		return e
	}
	return nil
}
