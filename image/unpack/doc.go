// Package unpack turns one layer of an image, a tar archive that may come from anybody, into a directory, as root.
//
// # What holds an archive in
//
// Names are looked up by the kernel with openat2(2) and RESOLVE_IN_ROOT: a symbolic link of the archive leads where it
// would lead in the image and never out of the directory, absolute ones included. The last element of a
// name is never followed: what is there is removed, and the new file made with O_EXCL. So there is no check
// whose answer could be old when it is used. Names with ".." are refused all the same, as no tool makes them.
//
// # Whiteouts
//
// A layer says that a file of the layers below is gone by a file .wh.NAME, and that a directory hides all below by
// one called .wh..wh..opq. In the directory these become what overlayfs understands when it is mounted with
// userxattr: a character device 0:0, and the attribute user.overlay.opaque; and trusted.overlay.opaque, for kernels older than 6.6, on
// which the host's root mounts it without. None can be smuggled in: devices of
// the archive are skipped, and so are its attributes of these namespaces. A whiteout speaks of the layers below only: what
// the same layer has of that name stays, whichever comes first.
//
// What aufs keeps for itself in a layer, names that begin with .wh..wh., is left out, but for what hard links of the layer lead
// to: that is unpacked, linked, and removed at the end.
//
// # Owners and privileges
//
// Owners are kept as they are in the image, and so are setuid bits and file capabilities. They are the node's once
// the directory is seen through a mount that is idmapped to its user namespace. On the host they would be the host's: the
// directory must be below one that only root may enter.
//
// A file capability on disk is version 2, which is root's of whoever mounts the file system, and so of the node. Version 3 names the
// root it is of, which nobody here knows; such a one is kept, as version 2, only when it is uid 0.
//
// # Bombs
//
// What is written is bounded by Limits, and so is its ratio to what was read. A sparse file counts with its whole
// size: a header of a hundred bytes can claim a terabyte.
package unpack
