// Package testenv gives tests what they need of the machine, and takes it back.
//
// A package whose tests need privileges has
//
//	func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
//
// and wraps each such test:
//
//	func TestBridge(t *testing.T) {
//		t.Parallel()
//		testenv.Isolate(t, func(t *testing.T) { ... })
//	}
//
// [Isolate] runs the function in a process of its own, in new network, mount, PID, IPC and
// UTS namespaces, with empty directories where nsnet keeps its files and lo up, then
// compares a [Snapshot] of before with what is left. Whatever the test leaves fails it.
//
// # What ran before
//
// The new process runs the same test from its first line, so that what stands in front of
// Isolate runs twice: once outside, once inside. Keep it to Need and t.Parallel.
//
// # Processes
//
// The new process lives in a sandbox, see [github.com/nsnet/nsnet/internal/sandbox]. Orphans of the
// test become the children of its PID 1, and all end with it, also when go test is killed.
// Process ids are those of the test's PID namespace, in /proc too.
//
// # Shared with the machine
//
// Control groups, /tmp and the users are the machine's. Lab names must be unique there: take
// them from [LabName], or name others to [IsolateLabs] and run the test on its own.
//
// # Container engines
//
// [Docker] and [Podman] start a real one for the test, in half a second, whose bridge and rules are in the test's
// network namespace. Subtests share it.
//
// # Threads
//
// The main thread cannot end: a goroutine that locks itself to a thread and leaves its
// namespace must not be on it, or the thread stays there and the leak check says so. Tests that do this have
//
//	func init() { runtime.LockOSThread() }
//
// # Descriptors
//
// The Go runtime opens an epoll descriptor on first use; Isolate makes it do so before it looks.
package testenv
