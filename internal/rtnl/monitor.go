package rtnl

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Monitor tells in which network namespaces interfaces, addresses or routes have changed. Nothing runs for it: the kernel
// keeps what it has to tell until it is asked for.
type Monitor struct {
	fd  int
	oob []byte
}

// monitorBuffer bounds what the kernel keeps, in bytes of its memory. What does not fit is lost, which is told.
const monitorBuffer = 1 << 20

// NewMonitor begins to listen: to the caller's network namespace, and to all that have an id there, see NumberNetns.
// NETLINK_LISTEN_ALL_NSID, netlink(7); Linux 4.2.
func NewMonitor() (*Monitor, error) {
	fail := func(err error) (*Monitor, error) {
		return nil, fmt.Errorf("listen to changes of network namespaces: %w", err)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fail(err)
	}
	m := &Monitor{fd: fd, oob: make([]byte, unix.CmsgSpace(4))}
	// Beyond the machine's bound for sockets with the right to it, else up to that.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, monitorBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, monitorBuffer)
	}
	err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	for _, g := range []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP} {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g)
		}
	}
	if err != nil {
		m.Close()
		return fail(err)
	}
	return m, nil
}

// Changed calls f for each change since the last call: with the id of the network namespace, ThisNetns for the
// monitor's own, and the index of the interface, 0 where it is not one itself that has changed. It tells whether changes were lost,
// which may have been in any.
func (m *Monitor) Changed(f func(nsid, link int)) (lost bool, err error) {
	var b [unix.SizeofNlMsghdr + unix.SizeofIfInfomsg]byte // more of the message is not wanted
	for {
		n, oobn, flags, _, err := unix.Recvmsg(m.fd, b[:], m.oob, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return lost, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
			lost = true
			continue
		case err != nil:
			return true, fmt.Errorf("listen to changes of network namespaces: %w", err)
		}
		lost = lost || flags&unix.MSG_CTRUNC != 0
		nsid, err := sender(m.oob[:oobn])
		if err != nil {
			return true, err
		}
		link := 0
		if h := (*unix.NlMsghdr)(unsafe.Pointer(&b)); n == len(b) && (h.Type == unix.RTM_NEWLINK || h.Type == unix.RTM_DELLINK) {
			link = int((*unix.IfInfomsg)(unsafe.Pointer(&b[unix.SizeofNlMsghdr])).Index)
		}
		f(nsid, link)
	}
}

// sender is the network namespace that a message is from.
func sender(oob []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, fmt.Errorf("listen to changes of network namespaces: %w", err)
	}
	for _, c := range messages {
		if c.Header.Level == unix.SOL_NETLINK && c.Header.Type == unix.NETLINK_LISTEN_ALL_NSID && len(c.Data) >= 4 {
			return int(*(*int32)(unsafe.Pointer(unsafe.SliceData(c.Data)))), nil
		}
	}
	return ThisNetns, nil
}

// Close ends it.
func (m *Monitor) Close() { _ = unix.Close(m.fd) }
