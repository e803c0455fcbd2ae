//go:build failpoint

package worker

import "syscall"

// unknown is a step that this worker does not know, or one that a test wants to fail; see package failpoint.
func unknown(s *Step) Outcome {
	if s.Kind != Fail {
		return failed(syscall.EINVAL)
	}
	if len(s.Data) > 0 {
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	}
	return Outcome{Errno: uint64(s.FD)}
}
