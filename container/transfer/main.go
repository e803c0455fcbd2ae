package transfer

import (
	"fmt"
	"io"
	"os"
)

// Name is the first argument of this program where it is the end of a copy in a node, and EnvValue its
// value of nodeinit.EnvKey.
const (
	Name     = "nsnet-cp"
	EnvValue = "copy"
)

// What a copying end of this program is asked to do, in its first argument.
const (
	OpPack   = "pack"
	OpUnpack = "unpack"
)

// Main does what the arguments say, in a node: pack PATH to standard output, or unpack PATH BASE from
// standard input. Notes and errors go to standard error. It returns the exit code.
func Main(args []string) int {
	err := fmt.Errorf("unknown request %q", args)
	switch {
	case len(args) == 2 && args[0] == OpPack:
		err = Pack(os.Stdout, args[1], func(text string) { fmt.Fprintln(os.Stderr, text) })
	case len(args) == 3 && args[0] == OpUnpack:
		if err = Unpack(os.Stdin, args[1], args[2]); err == nil {
			// The archive may be padded: who writes it must not find nobody there.
			_, err = io.Copy(io.Discard, os.Stdin)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
