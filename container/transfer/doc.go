// Package transfer copies a file or a directory from one place to another as a tar archive between the
// two: out of a node, or into it. The end that is in the node is this program, started there by the
// node's init, so that names lead where they lead for the node, and what is written is the node's root's.
//
//	nsnet cp                       node
//	   |<---- archive, notes ------|  Pack PATH
//	   |----- archive ------------>|  Unpack to PATH
//
// An archive has one entry called ".", which is what is copied, first, and then what is below it, each
// directory before its content. Symbolic links, permissions and times are kept; owners are not, set-user-ID bits
// neither, and each name of a file with several is a file of its own; devices, sockets and named pipes are left out, with a note.
//
// # Traps
//
// An archive that comes from a node is whatever root in the node wants it to be. [Unpack] writes beneath one
// directory alone, by [os.Root], follows no link out of it, replaces what is in its way and never
// writes into it, and takes nothing but directories, regular files and symbolic links.
package transfer
