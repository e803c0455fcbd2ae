//go:build failpoint

package nodeinit

import (
	"syscall"

	"github.com/nsnet/nsnet/container/wire"
)

// unknown is a step that this init does not know, or one that a test wants to fail; see package failpoint.
func unknown(st *wire.Step) failure {
	if st.Op == wire.OpFail {
		return injected(st.N(0), st.N(1))
	}
	return fail(syscall.ENOSYS, "unknown step")
}

// spawnFailure is what a test wants of a request to spawn.
func spawnFailure(r *wire.Reader) failure {
	if !r.More() {
		return ok
	}
	return injected(r.Uint(), r.Uint())
}

// injected fails, or ends this process. PID 1 cannot be killed from inside.
func injected(errno, kill uint64) failure {
	if kill == 1 {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 137, 0, 0) //nolint:errcheck // it does not return
	}
	return fail(syscall.Errno(errno), "a test's failpoint")
}
