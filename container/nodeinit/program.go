package nodeinit

import (
	"syscall"
	"unsafe"

	"github.com/nsnet/nsnet/container/wire"
)

// failure is an errno with what it happened to.
type failure struct {
	errno syscall.Errno
	text  string
}

var ok = failure{}

func fail(e syscall.Errno, text string) failure {
	if e == 0 {
		return ok
	}
	return failure{e, text}
}

func failErr(err error, text string) failure {
	if err == nil {
		return ok
	}
	if e, is := err.(syscall.Errno); is {
		return failure{e, text}
	}
	return failure{syscall.EINVAL, text + ": " + err.Error()}
}

// program carries out a program step by step and stops at the first that fails.
func (s *state) program(body []byte, fds []int) *wire.Failure {
	defer func() {
		for _, fd := range fds {
			if fd >= 0 {
				_ = syscall.Close(fd)
			}
		}
	}()
	r := wire.NewReader(body)
	for i := 0; r.More(); i++ {
		st := wire.DecodeStep(r)
		if r.Bad {
			return &wire.Failure{Step: i, Errno: uint32(syscall.EBADMSG), Text: "malformed program"}
		}
		if f := s.step(&st, fds); f != ok {
			return &wire.Failure{Step: i, Errno: uint32(f.errno), Text: f.text}
		}
	}
	return nil
}

func (s *state) step(st *wire.Step, fds []int) failure {
	switch st.Op {
	case wire.OpMkdir:
		if err := syscall.Mkdir(st.T(0), uint32(st.N(0))); err != nil && err != syscall.EEXIST {
			return failErr(err, st.T(0))
		}
	case wire.OpMount:
		return failErr(syscall.Mount(st.T(0), st.T(1), st.T(2), uintptr(st.N(0)), st.T(3)), st.T(1))
	case wire.OpAttach:
		return s.attach(int(st.N(0)), fds, st.T(0))
	case wire.OpOverlayWeak:
		return overlayWeak(st.T(0), st.T(1))
	case wire.OpRoot:
		fd, err := syscall.Open(st.T(0), oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
		s.root = fd
		return failErr(err, st.T(0))
	case wire.OpKeep:
		fd, err := syscall.Open(st.T(0), oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
		if err == nil {
			s.keep = append(s.keep, fd)
		}
		return failErr(err, st.T(0))
	case wire.OpEnter:
		return s.enter(st.N(0) == 1)
	case wire.OpAttachIn:
		return s.attachIn(int(st.N(0)), fds, st.T(0), st.N(1) == 1)
	case wire.OpTmpfsIn:
		return s.tmpfsIn(st.T(0), st.T(1))
	case wire.OpMkdirIn:
		return s.ensure(st.T(0), true)
	case wire.OpWrite:
		return write(st.T(0), uint32(st.N(0)), st.T(1))
	case wire.OpHostname:
		return failErr(syscall.Sethostname([]byte(st.T(0))), st.T(0))
	case wire.OpSysctl:
		return sysctl(st.T(0), st.T(1))
	case wire.OpCgroupNS:
		_, _, e := syscall.RawSyscall(syscall.SYS_UNSHARE, cloneNewcgroup, 0, 0)
		return fail(e, "")
	case wire.OpPrivileges:
		return privileges(st.N(0), st.N(1) == 1, []byte(st.T(0)))
	case wire.OpFindCommand:
		return s.check(st.T(0), st.T(1), st.T(2), st.T(3))
	default:
		return unknown(st)
	}
	return ok
}

func (s *state) attach(n int, fds []int, path string) failure {
	if n >= len(fds) {
		return fail(syscall.EBADF, path)
	}
	at, err := syscall.Open(path, oPath|syscall.O_CLOEXEC, 0)
	if err != nil {
		return failErr(err, path)
	}
	defer syscall.Close(at)
	return fail(moveMount(fds[n], at), path)
}

// overlayWeak mounts a read-only overlay as a user and group that own no file anywhere, with the one capability that mount(2)
// asks for. The overlay keeps those credentials for every look at its layers: what the
// host closes to an ordinary user stays closed, even to root in the node.
func overlayWeak(path, data string) failure {
	gone := [1]uint32{}
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETGROUPS, 0, uintptr(unsafe.Pointer(&gone)), 0); e != 0 {
		return fail(e, "setgroups")
	}
	syscall.RawSyscall(syscall.SYS_SETFSGID, ownerless, 0, 0) //nolint:errcheck // reports through a second call only
	syscall.RawSyscall(syscall.SYS_SETFSUID, ownerless, 0, 0) //nolint:errcheck // as above
	e := setEffective(1 << capSysAdmin)
	var f failure
	if e == 0 {
		f = failErr(syscall.Mount("overlay", path, "overlay", syscall.MS_RDONLY, data), path)
	}
	syscall.RawSyscall(syscall.SYS_SETFSUID, 0, 0, 0) //nolint:errcheck // as above
	syscall.RawSyscall(syscall.SYS_SETFSGID, 0, 0, 0) //nolint:errcheck // as above
	if e2 := setEffective(^uint64(0)); e == 0 {
		e = e2
	}
	if e != 0 {
		return fail(e, "capset")
	}
	return f
}

// enter makes the root "/". Moving the mount on top of the lab's tiny root leaves nothing
// reachable below and costs nothing; pivot_root looks at every process of the machine, and
// is for nodes that hold CAP_SYS_ADMIN and could take a mount off again.
func (s *state) enter(pivot bool) failure {
	if err := syscall.Fchdir(s.root); err != nil {
		return failErr(err, "fchdir")
	}
	if pivot {
		if err := syscall.PivotRoot(".", "."); err != nil {
			return failErr(err, "pivot_root")
		}
		if err := syscall.Unmount(".", syscall.MNT_DETACH); err != nil {
			return failErr(err, "unmount the old root")
		}
	} else {
		if err := syscall.Mount(".", "/", "", syscall.MS_MOVE, ""); err != nil {
			return failErr(err, "move the root")
		}
		if err := syscall.Chroot("."); err != nil {
			return failErr(err, "chroot")
		}
	}
	_ = syscall.Close(s.root)
	if err := syscall.Chdir("/"); err != nil {
		return failErr(err, "chdir")
	}
	fd, err := syscall.Open("/", oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	s.root = fd
	return failErr(err, "/")
}

func (s *state) attachIn(n int, fds []int, path string, dir bool) failure {
	if n >= len(fds) {
		return fail(syscall.EBADF, path)
	}
	if f := s.ensure(path, dir); f != ok {
		return f
	}
	at, e := openIn(s.root, path, oPath, 0, resolveInRoot)
	if e != 0 {
		return fail(e, path)
	}
	defer syscall.Close(at)
	// move_mount(2) says EINVAL for both.
	var st syscall.Stat_t
	if err := syscall.Fstat(at, &st); err != nil {
		return failErr(err, path)
	}
	switch isDir := st.Mode&syscall.S_IFMT == syscall.S_IFDIR; {
	case dir && !isDir:
		return fail(syscall.ENOTDIR, path)
	case !dir && isDir:
		return fail(syscall.EISDIR, path)
	}
	return fail(moveMount(fds[n], at), path)
}

func (s *state) tmpfsIn(path, data string) failure {
	if f := s.ensure(path, true); f != ok {
		return f
	}
	fd, e := openIn(s.root, path, oPath|syscall.O_DIRECTORY, 0, resolveInRoot)
	if e != 0 {
		return fail(e, path)
	}
	defer syscall.Close(fd)
	if err := syscall.Fchdir(fd); err != nil {
		return failErr(err, path)
	}
	err := syscall.Mount("tmpfs", ".", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, data)
	_ = syscall.Chdir("/")
	return failErr(err, path)
}

// split cuts a path into its parent, "/" at least, and its last name.
func split(path string) (parent, name string) {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			if i == 0 {
				return "/", path[1:]
			}
			return path[:i], path[i+1:]
		}
	}
	return "/", path
}

func write(path string, mode uint32, content string) failure {
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_EXCL|syscall.O_WRONLY|syscall.O_CLOEXEC|syscall.O_NOFOLLOW, mode)
	if err != nil {
		return failErr(err, path)
	}
	defer syscall.Close(fd)
	return failErr(writeAll(fd, content), path)
}

func writeAll(fd int, content string) error {
	b := []byte(content)
	for len(b) > 0 {
		n, err := syscall.Write(fd, b)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func sysctl(path, value string) failure {
	fd, err := syscall.Open("/proc/sys/"+path, syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return failErr(err, path)
	}
	defer syscall.Close(fd)
	return failErr(writeAll(fd, value), path)
}

// privileges gives up all but mask, for good: bounding set first, then no_new_privs and
// seccomp while the right to load it is still held, at last permitted and effective.
// The commands that follow get the usual file creation mask.
func privileges(mask uint64, noNewPrivs bool, filter []byte) failure {
	for c := uintptr(0); c < 64; c++ {
		if mask&(1<<c) != 0 {
			continue
		}
		if v, e := prctl(prCapbsetRead, c, 0); e != 0 {
			break // past the last capability this kernel knows
		} else if v == 0 {
			continue
		}
		if _, e := prctl(prCapbsetDrop, c, 0); e != 0 {
			return fail(e, "drop capability")
		}
	}
	syscall.Umask(0o022)
	if _, e := prctl(prCapAmbient, ambientClear, 0); e != 0 {
		return fail(e, "clear ambient capabilities")
	}
	if noNewPrivs {
		if _, e := prctl(prSetNoNewPriv, 1, 0); e != 0 {
			return fail(e, "no_new_privs")
		}
	}
	if len(filter) > 0 {
		if e := loadSeccomp(filter); e != 0 {
			return fail(e, "load seccomp filter")
		}
	}
	// Never more than there is: a privileged node of a root that lacks some.
	have, e := permitted()
	if e != 0 {
		return fail(e, "capget")
	}
	if e := setAll(mask & have); e != 0 {
		return fail(e, "capset")
	}
	return ok
}

func permitted() (uint64, syscall.Errno) {
	h := capHeader{version: capabilityV3}
	var d [2]capData
	_, _, e := syscall.RawSyscall(syscall.SYS_CAPGET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&d)), 0)
	return uint64(d[0].permitted) | uint64(d[1].permitted)<<32, e
}
