//go:build !failpoint

package worker

import "syscall"

// unknown is a step that this worker does not know.
func unknown(*Step) Outcome { return failed(syscall.EINVAL) }
