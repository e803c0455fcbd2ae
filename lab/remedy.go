package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/image"
)

// sysUser is where the kernel tells and takes the limits of namespaces. namespaces(7).
const sysUser = "/proc/sys/user"

// What is said, and its remedy, where the kernel lets nobody start another thread.
const (
	noProcesses   = "the limit of processes is reached"
	moreProcesses = "raise that of the control group (pids.max), ulimit -u or the sysctl kernel.pid_max"
)

// takenValue is the remedy for a value of a sysctl that the kernel does not take.
const takenValue = "give it a value that the kernel takes"

// refusedValue reports whether the kernel has refused the value of a sysctl of the file. write(2) and proc(5).
func refusedValue(err error) bool {
	return strings.Contains(err.Error(), "set sysctl ") && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ERANGE) || errors.Is(err, unix.EDOM))
}

// advise adds what can be done to an error that does not say it yet.
func advise(err error) {
	var e *Error
	if of := (*image.Error)(nil); errors.As(err, &of) && of.Remedy != "" {
		return
	}
	if errors.As(err, &e) && e.Remedy == "" {
		e.Remedy = remedy(e.Op, err)
	}
}

// remedy is what a user can do about an up that failed at an operation, by what the kernel said. That is the same
// whatever it refused, but for a limit of namespaces, which looks like a full disk.
func remedy(op string, err error) string {
	switch {
	case errors.Is(err, unix.EMFILE):
		return "raise the limit of open files, ulimit -n: a node needs about five"
	case errors.Is(err, unix.ENFILE):
		return "the machine has no open file left: raise the sysctl fs.file-max, or end what holds so many"
	case strings.Contains(err.Error(), "writable_size"):
		return "" // a copy of layers that has no room says so itself, in another process
	case errors.Is(err, unix.ENOSPC) && strings.HasPrefix(op, "start"):
		return namespaceLimits(sysUser)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "make room in the file system; of mounts, raise the sysctl fs.mount-max; of control groups, remove some"
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
		return "the kernel has no memory for it: end something, or make the lab smaller"
	case errors.Is(err, unix.EAGAIN) && strings.HasPrefix(op, "start"):
		if strings.Contains(err.Error(), noProcesses) {
			return moreProcesses
		}
		return noProcesses + ": " + moreProcesses
	case errors.Is(err, unix.EROFS):
		return "nsnet has to write there: mount it read-write"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "something forbids this even to root, as a container around it or a security module does: nsnet doctor looks for what"
	case errors.Is(err, fs.ErrExist):
		return "it was made by something else meanwhile: run the command again"
	case refusedValue(err):
		return takenValue
	case op == "prepare" && (errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EISDIR)):
		return "name another place in the node: what it has there is of another kind"
	case errors.As(err, new(unix.Errno)):
		return "nsnet doctor looks for what this machine lacks"
	}
	return ""
}

// namespaceLimits names the least of the limits below dir.
func namespaceLimits(dir string) string {
	const general = "a limit of namespaces is reached: raise that of the values below " + sysUser + " which is too small"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return general
	}
	least, names := -1, []string(nil)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil || !strings.HasSuffix(e.Name(), "_namespaces") {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		switch {
		case err != nil || least >= 0 && n > least:
		case n == least:
			names = append(names, "user."+e.Name())
		default:
			least, names = n, []string{"user." + e.Name()}
		}
	}
	if len(names) == 0 {
		return general
	}
	return fmt.Sprintf("a limit of namespaces is reached: raise the sysctl %s, which is %d", strings.Join(names, " or "), least)
}
