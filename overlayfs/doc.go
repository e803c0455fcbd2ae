// Package overlayfs prepares the layers of nodes' root filesystems.
//
// The host image of a node is an overlay over the host's own root. Closed to the node is
// what an ordinary user of the host cannot read: the layer below is mounted by somebody
// without privilege over files, so the kernel refuses such files whatever happens here.
// This package makes that pleasant: a skeleton layer above it, in which closed files are
// absent, closed directories are empty, and /tmp, /run, /var/log and the like are fresh.
// HostSkeleton plans it from what the host has, Apply makes it, once per lab.
//
// # Entries
//
// A closed file is covered by a whiteout, a closed directory by an opaque directory of
// the same owner and mode. A directory of the skeleton lends its owner and mode to what
// the overlay shows: each directory on the way to an entry is an entry itself, with the
// host's, and so is the root.
//
// # Traps
//
// The skeleton is for looks. It is as old as the lab, bounded in depth and number, and
// files may be closed or come into being after it: nothing may rely on it for secrecy.
//
// What is under a mount point of the host, a separate /var or /home, is not in an
// overlay over /: the overlay sees the directory below the mount. The walk stops there
// too; only the fresh trees are taken from what is mounted.
//
// tmpfs has user.* extended attributes, which the opaque mark of an overlay mounted with
// userxattr is, from Linux 6.6 on. Before, such an overlay has no opaque directories on a tmpfs, and
// with an upper layer there it cannot even remove a directory of a layer below (EIO). An overlay that
// the host's root mounts has trusted.* ones, which every tmpfs has.
//
// The kernel reads the opaque mark with the mounter's credentials, and reading a user.*
// attribute needs read permission: whoever mounts the overlay must be able to read the
// skeleton's closed directories, or they are merged with those below.
//
// A whiteout is a character device 0:0, the one device that mknod(2) makes in a user
// namespace, and on a file system mounted nodev.
//
// A whiteout in a directory that is not merged with one below is listed, as a name that
// cannot be looked up: an opaque directory must not hold any.
//
// In the options of mount(2), commas separate options and colons separate lower layers:
// see EscapeOption. An option string ends at a page: many layers need short paths.
package overlayfs
