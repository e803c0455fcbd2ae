// Package pidfd waits for processes that are known by a descriptor, whose number cannot pass to another one, and tells their pids. pidfd_open(2).
//
// # Traps
//
// poll(2) gives EINTR for every signal that its thread gets, whatever the handler says of restarting, and the Go runtime sends its threads
// signals as it likes: a wait that takes this for an end comes back early, now and then.
package pidfd
