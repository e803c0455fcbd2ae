// Package inroot opens files of a tree that somebody else has filled - an image, a node, a container - as that tree's own root would:
// nothing in it leads outside.
//
// # Traps
//
// openat2(2) gives EAGAIN when it meets ".." while a file is renamed or something is mounted, anywhere on the machine: it cannot tell then
// whether it has left the tree. Links like that of systemd's /etc/resolv.conf have one. And an open that waits for a server of FUSE
// gives EINTR, as the Go runtime sends its threads signals.
package inroot
