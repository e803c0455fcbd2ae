package nodeinit

import (
	"syscall"
	"unsafe"
)

// maxLinks is how many links to nothing a path may lead through, as many as the kernel follows.
const maxLinks = 40

// ensure makes path, a directory or an empty file, with its parents, inside the root. A symbolic link to nothing, as
// /etc/resolv.conf is in many an image, leads to where it would lead in the node: what it is a link to is made.
func (s *state) ensure(path string, dir bool) failure {
	for links := 0; ; links++ {
		fd, e := openIn(s.root, path, oPath, 0, resolveInRoot)
		if e == 0 {
			_ = syscall.Close(fd)
			return ok
		}
		if e != syscall.ENOENT || links == maxLinks {
			return fail(e, path)
		}
		next, f := s.makeUpTo(path, dir)
		if f != ok || next == "" {
			return f
		}
		path = next
	}
}

// makeUpTo makes what is missing of path. Where that is a symbolic link to nothing, it returns the path by which the
// rest is to be made.
func (s *state) makeUpTo(path string, dir bool) (next string, f failure) {
	for end := 0; end < len(path); {
		for end < len(path) && path[end] == '/' {
			end++
		}
		start := end
		for end < len(path) && path[end] != '/' {
			end++
		}
		if start == end {
			break
		}
		prefix := path[:end]
		fd, e := openIn(s.root, prefix, oPath, 0, resolveInRoot)
		if e == 0 {
			_ = syscall.Close(fd)
			continue
		}
		if e != syscall.ENOENT {
			return "", fail(e, prefix)
		}
		up, name := split(prefix)
		parent, e := openIn(s.root, up, oPath|syscall.O_DIRECTORY, 0, resolveInRoot)
		if e != 0 {
			return "", fail(e, up)
		}
		target, e := readlinkAt(parent, name)
		var err error
		switch {
		case e == 0 && target[0] == '/':
			next = target + path[end:]
		case e == 0:
			next = up + "/" + target + path[end:]
		case dir || end < len(path):
			err = syscall.Mkdirat(parent, name, 0o755)
		default:
			if fd, err = syscall.Openat(parent, name, syscall.O_CREAT|syscall.O_EXCL|syscall.O_WRONLY|syscall.O_CLOEXEC, 0o644); err == nil {
				err = syscall.Close(fd)
			}
		}
		_ = syscall.Close(parent)
		if err != nil && err != syscall.EEXIST || next != "" {
			return next, failErr(err, prefix)
		}
	}
	return "", ok
}

// readlinkAt reads a symbolic link of an open directory. readlinkat(2).
func readlinkAt(dir int, name string) (string, syscall.Errno) {
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return "", syscall.EINVAL
	}
	var b [4096]byte
	n, _, e := syscall.Syscall6(syscall.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(p)), uintptr(unsafe.Pointer(&b[0])), unsafe.Sizeof(b), 0, 0)
	if e != 0 {
		return "", e
	}
	if n == 0 {
		return "", syscall.ENOENT
	}
	return string(b[:n]), 0
}
