// Package attach gives a container that already runs one more network interface, and takes it
// away again. Whose the container is does not matter: Docker's, podman's, a lab's node, a shell
// under unshare(1), or nothing but a network namespace.
//
//	Request --decide--> Record --acts--> worker --> kernel
//	           ^
//	        observed: dumps of the namespaces that take part
//
// What the user wants and what the kernel shows make, in a pure function, a Record: everything
// that will be there, and what has to be put back when it goes. From the record come the acts, messages
// to the kernel, which a [github.com/nsnet/nsnet/attach/worker] carries out. The record is on
// disk before the first act as ID.attaching; the last act renames it to ID.json.
//
// # What can outlive an interface
//
// The kernel removes an interface with either end's namespace. What it does not
// put back is a host's own network card that was lent, a default route that was moved aside, and
// a resolv.conf; the record knows them, and Sweep puts them back for whatever has gone by itself.
// A lent card's namespace is held by a mount beside the record until the card is home again.
//
// # Traps
//
// A pid is no identity. The target is pinned once, by a pidfd and the descriptor of its network
// namespace; from then on nothing refers to the pid. Records know a namespace by device and
// inode, which are used again: what proves that an interface is ours is its alias, nsnet:attach:ID.
//
// Every interface is made with an index far above the kernel's own, chosen at random, and is
// referred to by it: should making it fail, the requests behind it in the same datagram, which
// the kernel carries out nevertheless, find nothing.
//
// A bridge whose MAC nobody has set takes the lowest of its ports'. Ports made here begin with
// fe, above all that are sold, and an empty bridge has its MAC set to what it is.
package attach
