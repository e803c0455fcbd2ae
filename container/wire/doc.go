// Package wire is what the lab init and a node init say to each other: boot programs,
// requests and replies, as bytes on a stream socket.
//
//	lab init                          node init (PID 1 of the node)
//	   |-- Boot  program, fds ---------->|  mounts, names, sysctls, privileges
//	   |<------------- Ready or Failed --|
//	   |   (makes the node's links)      |
//	   |-- Post  program --------------->|  sysctls that name an interface
//	   |<------------- Ready or Failed --|
//	   |-- Start command, log fds ------>|
//	   |<---------- Started, Exited -----|
//	   |-- Kill  signal, whom ---------->|
//	   |<--------------- Exited, Left ---|  Left until it is empty; then Start may come again, without log
//	   |-- Exec  command, fds ---------->|  answers on the client's own socket
//
// A message is a header of eight bytes (length and kind, little endian) with its file
// descriptors attached, then the body. A body is a sequence of fields.
//
// # Traps
//
// The node init links this package and starts before almost every other package of the
// binary is initialised. It must import nothing.
package wire
