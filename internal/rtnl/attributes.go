package rtnl

import (
	"syscall"

	"github.com/vishvananda/netlink/nl"
)

// attributes takes a list of attributes apart. The library panics where the last one is not filled up to four bytes, which the
// kernel does, and what is read from a file need not.
func attributes(b []byte) ([]syscall.NetlinkRouteAttr, error) {
	const align = syscall.RTA_ALIGNTO
	if over := len(b) % align; over != 0 {
		b = append(b[:len(b):len(b)], make([]byte, align-over)...)
	}
	return nl.ParseRouteAttr(b)
}

// number is the value of an attribute of four bytes, 0 for one of less.
func number(v []byte) uint32 {
	const size = 4
	if len(v) < size {
		return 0
	}
	return nl.NativeEndian().Uint32(v)
}
