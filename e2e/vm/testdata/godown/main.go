// Command godown takes the ext4 file system of a path away as a power cut does: what was not written to the disk by now, its
// journal included, never will be. EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, as xfstests do.
package main

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	const shutdown, noLogFlush = 0x8004587d, 2
	f, err := os.Open(os.Args[1])
	if err == nil {
		flags := uint32(noLogFlush)
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))); e != 0 {
			err = e
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "godown:", err)
		os.Exit(1)
	}
}
