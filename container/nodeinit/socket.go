package nodeinit

import (
	"syscall"

	"github.com/nsnet/nsnet/container/wire"
)

// maxBody bounds a message; a boot program with its files is far below.
const maxBody = 64 << 20

// send writes one message. Failure means that the peer is gone, which its reader notices.
func send(fd int, k wire.Kind, body []byte) { _ = pass(fd, k, body, nil) }

// pass writes one message with descriptors. Failure means what it does for send, or that the descriptors were refused, and nothing was
// written: ETOOMANYREFS, where processes of the node have as many on their way through sockets as one user may have. unix(7).
func pass(fd int, k wire.Kind, body []byte, fds []int) syscall.Errno {
	var h [wire.HeaderSize]byte
	wire.PutHeader(&h, k, len(body))
	var oob []byte
	if len(fds) > 0 {
		oob = syscall.UnixRights(fds...)
	}
	msg := append(h[:], body...)
	n, err := syscall.SendmsgN(fd, msg, oob, nil, syscall.MSG_NOSIGNAL)
	for err == syscall.EINTR {
		n, err = syscall.SendmsgN(fd, msg, oob, nil, syscall.MSG_NOSIGNAL)
	}
	for err == nil && n < len(msg) {
		var m int
		m, err = syscall.SendmsgN(fd, msg[n:], nil, nil, syscall.MSG_NOSIGNAL)
		if err == syscall.EINTR {
			err = nil
		} else {
			n += m
		}
	}
	if e, is := err.(syscall.Errno); is {
		return e
	}
	return 0
}

// receive reads one message with its descriptors, which are close-on-exec.
func receive(fd int) (wire.Kind, []byte, []int, bool) {
	var h [wire.HeaderSize]byte
	oob := make([]byte, syscall.CmsgSpace(4*253))
	got := 0
	var fds []int
	for got < len(h) {
		n, oobn, _, _, err := syscall.Recvmsg(fd, h[got:], oob, syscall.MSG_CMSG_CLOEXEC)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return 0, nil, nil, false
		}
		got += n
		if oobn > 0 {
			msgs, err := syscall.ParseSocketControlMessage(oob[:oobn])
			if err != nil {
				return 0, nil, nil, false
			}
			for i := range msgs {
				if r, err := syscall.ParseUnixRights(&msgs[i]); err == nil {
					fds = append(fds, r...)
				}
			}
		}
	}
	k, size := wire.Header(&h)
	if size < 0 || size > maxBody {
		return 0, nil, nil, false
	}
	body := make([]byte, size)
	for got = 0; got < size; {
		n, err := syscall.Read(fd, body[got:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return 0, nil, nil, false
		}
		got += n
	}
	return k, body, fds, true
}
