package main

import (
	"context"
	"os"

	"github.com/nsnet/nsnet/lab/labinit"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	// A lab's init is this program, started by up. A node's is, too: see package nodeinit.
	if labinit.Wanted() {
		os.Exit(labinit.Main())
	}
	os.Exit(run(context.Background(), os.Args[1:], stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
