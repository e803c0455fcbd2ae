package transfer

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/printable"
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
	OpUnpack = "unpack-pieces" // it was "unpack" when archives had no files with holes
)

const unknown = "unknown request"

// IsUnknown tells from what an end has said that it is of an nsnet that does not know what it was asked.
func IsUnknown(said string) bool { return strings.HasPrefix(said, unknown) }

// Main does what the arguments say, in a node: pack PATH to standard output, or unpack PATH BASE from
// standard input. Notes and errors go to standard error. It returns the exit code. Others of the node cannot take the
// process over, see PR_SET_DUMPABLE in prctl(2): what it says is read by root of the host.
func Main(args []string) int {
	err := fmt.Errorf("%s %q", unknown, args)
	if bad := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); bad != nil {
		args, err = nil, fmt.Errorf("prctl PR_SET_DUMPABLE: %w", bad)
	}
	switch {
	case len(args) == 2 && args[0] == OpPack:
		err = Pack(os.Stdout, Inside, args[1], func(text string) { fmt.Fprintln(os.Stderr, printable.Text(text)) })
	case len(args) == 3 && args[0] == OpUnpack:
		if err = Unpack(os.Stdin, Inside, args[1], args[2]); err == nil {
			// The archive may be padded: who writes it must not find nobody there.
			_, err = io.Copy(io.Discard, os.Stdin)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, printable.Error(err))
		return 1
	}
	return 0
}
