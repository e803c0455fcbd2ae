// Command probe tries inside a node what must not work there. It exits with 0 when the
// attempt succeeded, with 10 when the kernel refused it, and with 20 when it could not try.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	runtime.LockOSThread()
	attempts := map[string]func(args []string) error{
		"open-write": openWrite,
		"unseal":     unseal,
		"read":       read,
		"write":      write,
		"mknod":      mknod,
		"unshare":    unshare,
		"clone":      clone,
		"setns":      setns,
		"mount":      mount,
		"newmount":   newMount,
		"keyctl":     keyctl,
		"bpf":        bpf,
		"ptrace":     ptrace,
		"kill":       kill,
		"chroot":     chroot,
		"fchdir":     fchdir,
		"tiocsti":    tiocsti,
		"by-handle":  byHandle,
		"gained":     gained,
		"touch":      touch,
	}
	if len(os.Args) < 2 || attempts[os.Args[1]] == nil {
		fmt.Println("unknown attempt")
		os.Exit(20)
	}
	if err := attempts[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Println(err)
		os.Exit(10)
	}
}

func openWrite(args []string) error {
	_, err := unix.Open(args[0], unix.O_WRONLY|unix.O_CLOEXEC, 0)
	return err
}

// touch sets a file's times, which takes the right to write it and no more. utimensat(2).
func touch(args []string) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, args[0], nil, 0)
}

// unseal makes the mount that a file was opened through writable, and changes the file's mode. mount_setattr(2).
func unseal(args []string) error {
	fd, err := unix.Open(args[0], unix.O_PATH, 0)
	if err != nil {
		return err
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return err
	}
	return os.Chmod(args[0], 0o700)
}

func read(args []string) error {
	b, err := os.ReadFile(args[0])
	if err == nil && len(b) == 0 {
		return errors.New("empty")
	}
	return err
}

func write(args []string) error {
	fd, err := unix.Open(args[0], unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte(args[1]))
	return err
}

// mknod makes a node of the first disk and opens it.
func mknod([]string) error {
	if err := unix.Mknod("/tmp/disk", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))); err != nil {
		return err
	}
	_, err := unix.Open("/tmp/disk", unix.O_RDONLY, 0)
	if errors.Is(err, unix.ENXIO) {
		return nil // no such disk here, but the kernel looked for it
	}
	return err
}

func unshare([]string) error {
	for _, flag := range []int{unix.CLONE_NEWUSER, unix.CLONE_NEWNS, unix.CLONE_NEWNET, unix.CLONE_NEWCGROUP} {
		if err := unix.Unshare(flag); err == nil {
			return nil
		}
	}
	return unix.Unshare(unix.CLONE_NEWUSER | unix.CLONE_NEWNS)
}

// clone tries a new user namespace by the call that filters forget.
func clone([]string) error {
	pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e == 0 {
		if pid == 0 {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		return nil
	}
	args := [11]uint64{0: unix.CLONE_NEWUSER, 4: uint64(unix.SIGCHLD)}
	pid, _, e = unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), 88, 0)
	if e == 0 {
		if pid == 0 {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		return nil
	}
	return e
}

func setns([]string) error {
	fd, err := unix.Open("/proc/1/ns/mnt", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return unix.Setns(fd, 0)
}

func mount([]string) error {
	if err := unix.Mount("x", "/tmp", "tmpfs", 0, ""); err == nil {
		return nil
	}
	if err := unix.Mount("/", "/tmp", "", unix.MS_BIND, ""); err == nil {
		return nil
	}
	return unix.Unmount("/proc", unix.MNT_DETACH)
}

func newMount([]string) error {
	if _, err := unix.Fsopen("proc", 0); err == nil {
		return nil
	}
	if _, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE); err == nil {
		return nil
	}
	return unix.MountSetattr(unix.AT_FDCWD, "/proc/sys", 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
}

func keyctl([]string) error {
	if _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true); err == nil {
		return nil
	}
	_, err := unix.AddKey("user", "probe", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
	return err
}

func bpf([]string) error {
	_, _, e := unix.Syscall(unix.SYS_BPF, 0, 0, 0)
	if e == unix.EPERM || e == unix.ENOSYS {
		return e
	}
	return nil
}

func pidArg(args []string) int {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		fmt.Println(err)
		os.Exit(20)
	}
	return pid
}

func ptrace(args []string) error { return unix.PtraceSeize(pidArg(args)) }

func kill(args []string) error { return unix.Kill(pidArg(args), 0) }

// chroot is the classic escape: leave a second root by an open directory and "..".
func chroot(args []string) error {
	_ = os.Mkdir("/tmp/jail", 0o755)
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	if err := unix.Chroot("/tmp/jail"); err != nil {
		return err
	}
	if err := unix.Fchdir(fd); err != nil {
		return err
	}
	for range 64 {
		if err := unix.Chdir(".."); err != nil {
			return err
		}
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return sees(args[0])
}

// fchdir looks for a directory of the host above the working directory and behind every
// descriptor there is.
func fchdir(args []string) error {
	if err := sees(args[0]); err == nil {
		return nil
	}
	for fd := -1; fd < 1024; fd++ {
		if fd >= 0 && unix.Fchdir(fd) != nil {
			continue
		}
		for range 64 {
			_ = unix.Chdir("..")
		}
		if _, err := os.Lstat(strings.TrimPrefix(args[0], "/")); err == nil {
			return nil
		}
	}
	return errors.New("no way to " + args[0])
}

// sees tells whether the host's canary is there.
func sees(canary string) error {
	_, err := os.Lstat(canary)
	return err
}

// tiocsti types a line into the terminal.
func tiocsti([]string) error {
	fds := []int{0, 1, 2}
	if fd, err := unix.Open("/dev/tty", unix.O_RDWR, 0); err == nil {
		fds = append(fds, fd)
	}
	err := error(unix.ENOTTY)
	for _, fd := range fds {
		for _, c := range []byte("echo injected\n") {
			if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSTI, uintptr(unsafe.Pointer(&c))); e != 0 {
				err = e
				break
			}
			err = nil
		}
	}
	return err
}

// byHandle opens the root of the file system by its inode, of CVE-2014-3545.
func byHandle([]string) error {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/etc", 0)
	if err != nil {
		return err
	}
	fd, err := unix.Open("/", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	_, err = unix.OpenByHandleAt(fd, h, unix.O_RDONLY)
	return err
}

// gained reports whether the effective user is another than the real one, as in a program that
// somebody else owns with the set-user-ID bit.
func gained([]string) error {
	if os.Geteuid() == os.Getuid() {
		return errors.New("nothing gained")
	}
	return nil
}
