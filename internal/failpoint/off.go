//go:build !failpoint

package failpoint

import "syscall"

// Enabled tells whether this binary has failpoints.
const Enabled = false

// Hit is where an act on an object is about to be done. It fails where a test wants it to.
func Hit(_, _ string) error { return nil }

// Errno is Hit for acts that another process carries out: what it is to fail with, and whether it is to end.
func Errno(_, _ string) (errno syscall.Errno, kill bool) { return 0, false }

// Environ is what a process that this one starts has to have in its environment. It is called name in the
// names of its acts.
func Environ(string) []string { return nil }
