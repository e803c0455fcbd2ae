package container

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/nodeinit"
	"github.com/nsnet/nsnet/container/wire"
)

// Reason says why a node's init could not start a command.
func Reason(f *wire.Failure) string {
	if WholeReason(syscall.Errno(f.Errno)) {
		return f.Text
	}
	return f.Text + ": " + syscall.Errno(f.Errno).Error()
}

// WholeReason reports whether what a node's init says of a command that it could not start says all, without the errno: the interpreter that it
// lacks (ELIBACC), how much too long its arguments are (E2BIG), which id the node has not (ERANGE).
func WholeReason(errno syscall.Errno) bool {
	return errno == unix.ELIBACC || errno == unix.E2BIG || errno == unix.ERANGE
}

// TooLong returns what of a command is more than the kernel takes, empty if nothing is. execve(2).
func TooLong(argv, env []string) string { return nodeinit.TooLong(argv, env) }
