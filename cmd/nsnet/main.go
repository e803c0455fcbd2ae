package main

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/nodeinit"
	"github.com/nsnet/nsnet/container/transfer"
	"github.com/nsnet/nsnet/lab/labinit"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	// A lab's init is this program, started by up. A node's is, too: see package nodeinit.
	if labinit.Wanted() {
		os.Exit(labinit.Main())
	}
	if os.Args[0] == transfer.Name && os.Getenv(nodeinit.EnvKey) == transfer.EnvValue {
		os.Exit(transfer.Main(os.Args[1:]))
	}
	forgetCaller()
	os.Exit(run(context.Background(), os.Args[1:], stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// forgetCaller keeps what nsnet writes for others from depending on who has started it: directories in /run/netns and /etc/netns are for
// every user to look into, and a record that is cut off is of no use.
func forgetCaller() {
	unix.Umask(0o022)
	var size unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &size); err == nil && size.Cur != size.Max {
		size.Cur = size.Max
		_ = unix.Setrlimit(unix.RLIMIT_FSIZE, &size)
	}
}
