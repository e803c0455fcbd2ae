// Package engine finds running containers that Docker and podman have started, by name or id, through
// the engines' own unix sockets. Both answer GET /containers/NAME/json; podman has it for Docker's sake.
//
// # Traps
//
// An answer is old when it arrives. Who pins the process (pidfd_open(2)) asks once more afterwards: when
// the same process is named again, the pidfd is the container's.
//
// Process ids are numbers of the engine's own pid namespace. Behind a socket that was handed into a
// container there is the machine's engine, whose ids here are those of strangers: the peer of the socket is
// looked at, and such an engine refused. A socket forwarded from another machine cannot be told.
//
// podman has no daemon: containers run while nobody listens on its socket.
//
// The package podman-docker links Docker's socket to podman's, so that both find the same container: an id
// is one container, however often it is found.
//
// # Why not net/http
//
// Importing it costs every start of nsnet, and so every exec, 0.3 ms of 3, and makes the binary 3 MB larger
// (45 %). One request in HTTP/1.0 is all there is to say: the answer has no chunks and ends with the
// connection.
package engine
