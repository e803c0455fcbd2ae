//go:build !failpoint

package nodeinit

import (
	"syscall"

	"github.com/nsnet/nsnet/container/wire"
)

// unknown is a step that this init does not know.
func unknown(*wire.Step) failure { return fail(syscall.ENOSYS, "unknown step") }

// spawnFailure is what a test wants of a request to spawn.
func spawnFailure(*wire.Reader) failure { return ok }
