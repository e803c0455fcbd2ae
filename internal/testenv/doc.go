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
// PID 1 of the test's PID namespace is a supervisor that reaps, as a machine's init does; the test
// is its child. Orphans of the test become the supervisor's children, and all end with it,
// also when go test is killed. Process ids are those of the test's PID namespace, in /proc too.
//
// # Shared with the machine
//
// Control groups, /tmp and the users are the machine's. Lab names must be unique there: take
// them from [LabName], or name others to [IsolateLabs] and run the test on its own.
// The directories /etc/netns and /var/lib/nsnet are made when missing, and stay, empty: they
// are mount points for the tests' own.
//
// # Descriptors
//
// The Go runtime opens an epoll descriptor on first use; Isolate makes it do so before it looks.
package testenv
