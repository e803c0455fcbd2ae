package nodeinit

import (
	"syscall"
	"unsafe"
)

// fuseMount makes a FUSE file system that the root of this user namespace owns: the connection to be served, and a detached
// mount. Nothing waits for whoever serves it. fsopen(2), fsconfig(2), fsmount(2); Documentation/filesystems/fuse.
func fuseMount() (connection, mount int, f failure) {
	connection, err := syscall.Open("/dev/fuse", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, -1, failErr(err, "/dev/fuse")
	}
	const closeOnExec, create = 1, 6 // FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC; FSCONFIG_CMD_CREATE
	kind := [...]byte{'f', 'u', 's', 'e', 0}
	fs, _, e := syscall.RawSyscall(sysFsopen, uintptr(unsafe.Pointer(&kind)), closeOnExec, 0)
	if e != 0 {
		return -1, -1, fail(e, "fuse")
	}
	for _, option := range [][2]string{{"source", "nsnet"}, {"subtype", "mergerfs"}, {"fd", decimal(connection)}, {"rootmode", "40000"},
		{"user_id", "0"}, {"group_id", "0"}, {"allow_other"}, {"default_permissions"}} {
		if e := fsconfig(int(fs), option[0], option[1]); e != 0 {
			return -1, -1, fail(e, "fuse: "+option[0])
		}
	}
	if _, _, e := syscall.RawSyscall6(sysFsconfig, fs, create, 0, 0, 0, 0); e != 0 {
		return -1, -1, fail(e, "fuse")
	}
	const nosuid, nodev = 2, 4 // MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV
	m, _, e := syscall.RawSyscall(sysFsmount, fs, closeOnExec, nosuid|nodev)
	_ = syscall.Close(int(fs))
	return connection, int(m), fail(e, "fuse")
}

// fsconfig sets an option, one without a value as a flag.
func fsconfig(fs int, key, value string) syscall.Errno {
	const flag, text = 0, 1 // FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING
	k, err := syscall.BytePtrFromString(key)
	if err != nil {
		return syscall.EINVAL
	}
	if value == "" {
		_, _, e := syscall.RawSyscall6(sysFsconfig, uintptr(fs), flag, uintptr(unsafe.Pointer(k)), 0, 0, 0)
		return e
	}
	v, err := syscall.BytePtrFromString(value)
	if err != nil {
		return syscall.EINVAL
	}
	_, _, e := syscall.RawSyscall6(sysFsconfig, uintptr(fs), text, uintptr(unsafe.Pointer(k)), uintptr(unsafe.Pointer(v)), 0, 0)
	return e
}

// cover puts a file on a name of a detached mount, where it has that, and returns a detached mount of both. The mount that
// is returned is then the only one: with its end, the node's, its server ends, too.
func cover(mount int, at, name, file string) (int, failure) {
	dir, err := syscall.Open(at, oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, failErr(err, at)
	}
	if e := moveMount(mount, dir); e != 0 {
		return -1, fail(e, at)
	}
	_ = syscall.Close(dir)
	_ = syscall.Close(mount)
	if err := syscall.Mount(file, at+"/"+name, "", syscall.MS_BIND, ""); err != nil && err != syscall.ENOENT {
		return -1, failErr(err, "cover "+name)
	}
	path, err := syscall.BytePtrFromString(at)
	if err != nil {
		return -1, failErr(err, at)
	}
	const cwd, cloneTree = -100, 1
	from := cwd
	both, _, e := syscall.RawSyscall(sysOpenTree, uintptr(from), uintptr(unsafe.Pointer(path)), cloneTree|syscall.O_CLOEXEC|atRecursive)
	if e != 0 {
		return -1, fail(e, at)
	}
	return int(both), failErr(syscall.Unmount(at, syscall.MNT_DETACH), "let go of the mount")
}

// giveFuse is what a server's program starts in place of fusermount(1) when it is not let mount: it sends the connection that
// it inherits over the socket whose number is in the environment, as libfuse's receive_fd expects it, and ends. It returns where it was not
// such a program that has started it.
func giveFuse() {
	number, _ := syscall.Getenv("_FUSE_COMMFD")
	to := 0
	for i := range len(number) {
		if number[i] < '0' || number[i] > '9' || to > 1<<16 {
			return
		}
		to = 10*to + int(number[i]-'0')
	}
	if to <= 2 || !isSocket(to) {
		return
	}
	if syscall.Sendmsg(to, []byte{0}, syscall.UnixRights(fuseFD), nil, 0) != nil {
		syscall.Exit(1)
	}
	syscall.Exit(0)
}
