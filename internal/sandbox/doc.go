// Package sandbox runs the calling program once more in a small machine of its own: new network,
// mount, PID, IPC and UTS namespaces, with lo up, a /proc and /sys that show no others, and
// empty directories where nsnet keeps files. Tests and benchmarks are its users.
//
// # Two processes
//
// The program is started twice: [Command] makes the first, whose main function calls
// [Supervise]; that is PID 1, reaps orphans as a machine's init does, and starts the second, which
// does the work. All processes end with the supervisor, and that ends with its caller.
//
// # What is shared
//
// Control groups, file systems and users are the machine's. The directories that [OwnDirs]
// names are made on the machine when missing, and stay: they are mount points.
package sandbox
