// Package origin opens a topology file, and finds whose it is, once: the file's path, its owner and its directory are those of what is open,
// whatever links have led there and whoever exchanges one of them later.
//
// # Traps
//
// A name proves nothing after it was opened. The path is the one that the kernel tells of the open file (proc_pid_fd(5)), and can have changed
// by the time it is read: it counts if the directory that is at it has this file by that name.
//
// A descriptor's name, such as /dev/stdin, is a link of /proc that leads to what is open by no path at all.
// What it leads to may well have one, but whoever typed the name did not mean that.
package origin
