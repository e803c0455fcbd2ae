// Package transfer copies a file or a directory from one place to another as a tar archive between the
// two: out of a node, or into it. The end that is in the node is this program, started there by the
// node's init, so that names lead where they lead for the node, and what is written is the node's root's.
//
//	nsnet cp                       node
//	   |<---- archive, notes ------|  Pack PATH
//	   |----- archive ------------>|  Unpack to PATH
//
// An archive has one entry called ".", which is what is copied, first, and then what is below it, each
// directory right before its content. Symbolic links, permissions and times are kept; owners are not, set-user-ID bits
// neither, and each name of a file with several is a file of its own; devices, sockets and named pipes are left out, with a note.
// A file with holes is an entry without content that has the record NSNET.size, and one of the same name with NSNET.place for each piece
// between the holes.
//
// # Traps
//
// An archive that comes from a node is whatever root in the node wants it to be. [Unpack] makes each entry by its last name in the
// open directory that it is in, follows no link there, replaces what is in its way and never writes into it, takes nothing but directories,
// regular files and symbolic links, and keeps of the archive what the directories are told that it is in.
//
// A directory of the host may be another user's, who exchanges what is in it for links at any moment: no path is looked up twice. One that was
// typed is opened by [Typed], and both ends go on from its descriptor.
package transfer
