// Package worker carries out an attachment in a process of its own, which goes on when the
// command that started it is killed: the kernel can make an interface in one message, but not
// also configure both of its ends, which are in two network namespaces.
//
// The command decides on everything, encodes it as a list of acts, and starts itself once more.
// The worker has the whole list before it begins, carries it out, or takes back what it has
// done when the kernel refuses an act, and reports. It asks nobody anything.
//
// # Traps
//
// Like a node init it takes over in a function init, before heavier packages are
// initialised: it is on the path of every attach. It imports syscall alone, and what does likewise.
//
// The messages refer to descriptors by number. They have the same numbers in the worker as in the
// command.
//
// A datagram of several requests is carried out within one system call, and the kernel goes on
// after a request that it refuses. Requests behind the one that makes an interface must
// refer to it by an index that nobody else can have.
package worker
