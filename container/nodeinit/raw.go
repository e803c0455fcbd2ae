package nodeinit

import (
	"syscall"
	"unsafe"

	"github.com/nsnet/nsnet/container/wire"
)

// A spawner's system calls are raw ones. In others the runtime may take the thread for idle and
// wake another, which at the moment of a fork could hold a lock that the child would wait for
// in vain.

func rawOpen(path string, flags int) (int, syscall.Errno) {
	p, err := syscall.BytePtrFromString(path)
	if err != nil {
		return -1, syscall.EINVAL
	}
	const cwd = -100
	at := cwd
	fd, _, e := syscall.RawSyscall6(syscall.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(p)), uintptr(flags|syscall.O_CLOEXEC), 0, 0, 0)
	return int(fd), e
}

func rawClose(fd int) {
	syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) //nolint:errcheck // nothing was written
}

// rawWriteFile writes a file of the kernel's in one go.
func rawWriteFile(path, content string) syscall.Errno {
	fd, e := rawOpen(path, syscall.O_WRONLY)
	if e != 0 {
		return e
	}
	defer rawClose(fd)
	b := []byte(content)
	_, _, e = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return e
}

func rawKill(pid int) {
	syscall.RawSyscall(syscall.SYS_KILL, uintptr(pid), uintptr(syscall.SIGKILL), 0) //nolint:errcheck // it may have ended
}

// channel is a socket with room for one message, used for every message again: with its garbage a spawner
// would grow, and a fork cost more.
type channel struct {
	fd   int
	body []byte
	oob  []byte
}

func newChannel(fd int) *channel {
	return &channel{fd: fd, body: make([]byte, 4096), oob: make([]byte, syscall.CmsgSpace(4*4))}
}

// receive takes a message with at most one descriptor, -1: none. A larger one than there is
// room for is none.
func (c *channel) receive() (k wire.Kind, body []byte, fd int, more bool) {
	fd = -1
	got, want := 0, wire.HeaderSize
	for got < want {
		iov := syscall.Iovec{Base: &c.body[got]}
		iov.SetLen(want - got)
		msg := syscall.Msghdr{Iov: &iov, Iovlen: 1, Control: &c.oob[0]}
		msg.SetControllen(len(c.oob))
		n, _, e := syscall.RawSyscall(syscall.SYS_RECVMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&msg)), syscall.MSG_CMSG_CLOEXEC)
		if e == syscall.EINTR {
			continue
		}
		if e != 0 || n == 0 {
			return 0, nil, fd, false
		}
		if got += int(n); msg.Controllen >= uint64(syscall.CmsgLen(4)) {
			fd = int(*(*int32)(unsafe.Pointer(&c.oob[syscall.CmsgLen(0)])))
		}
		if want == wire.HeaderSize && got == want {
			var h [wire.HeaderSize]byte
			copy(h[:], c.body)
			var size int
			if k, size = wire.Header(&h); size < 0 || size > len(c.body)-want {
				return 0, nil, fd, false
			}
			want += size
		}
	}
	return k, c.body[wire.HeaderSize:want], fd, true
}

// send writes one message with descriptors.
func (c *channel) send(k wire.Kind, body []byte, fds ...int) {
	var h [wire.HeaderSize]byte
	wire.PutHeader(&h, k, len(body))
	b := append(h[:], body...)
	iov := syscall.Iovec{Base: &b[0]}
	iov.SetLen(len(b))
	msg := syscall.Msghdr{Iov: &iov, Iovlen: 1}
	if len(fds) > 0 {
		oob := syscall.UnixRights(fds...)
		msg.Control = &oob[0]
		msg.SetControllen(len(oob))
	}
	// A stream socket takes so little at once; a failure means that nobody is there.
	for {
		_, _, e := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&msg)), syscall.MSG_NOSIGNAL)
		if e != syscall.EINTR {
			return
		}
	}
}
