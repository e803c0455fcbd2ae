// Package wiring is what a lab's network namespaces should look like, what they do look like, and
// the difference: bridges, cables, addresses and routes.
//
// [Of] turns a lab into what is wanted, [Observe] reads what there is with one dump of each kind
// in each namespace, and [Plan], a plain function, tells what to change. [Applier] carries that
// out. A lab that is made anew is the same with nothing there, so that there is one path for both.
//
// # Whose is it
//
// A running lab has more than the file says: addresses that a daemon in a node has set, routes that it
// has learned, interfaces that nsnet attach has added. They are left alone. What the lab itself had made
// by an earlier file, and what stands where something of the file belongs, is not.
//
// # Traps
//
// An interface whose index is its peer's looks to the kernel like one without a peer, whose carrier it then
// reports up to a second late (linkwatch_urgent_event in net/core/link_watch.c): the ends of a
// cable get different ones.
//
// An address that is taken away takes routes along, and perhaps other addresses of its subnet. What
// follows from a change is seen by observing once more, not foretold.
package wiring
