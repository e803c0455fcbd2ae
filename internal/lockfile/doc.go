// Package lockfile has the locks by which processes keep out of each other's way: flock(2), on files that are there for nothing
// else.
//
// # Why flock
//
// Such a lock is the open file's: it goes when the last descriptor of it is closed, and so with the process that held it, however that
// ends. A file that is made with O_EXCL would stay. Locks of fcntl(2) are the process's, and gone with the first descriptor of the
// file that any part of it closes.
//
// # Traps
//
// A descriptor is inherited by what a process forks, until that calls exec: the lock can be held for a moment longer than
// its holder thinks.
//
// There is no order: who wants the lock alone waits until nobody shares it any more, however many come later.
//
// Whoever holds the lock may remove the file. Who has waited for it then holds a lock of nothing, see [Current].
package lockfile
