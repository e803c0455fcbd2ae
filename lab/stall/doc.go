// Package stall finds out for which process of a lab somebody waits: for the lab's init, or for that of a node. Each may be stopped, by
// SIGSTOP or a debugger, or frozen, and answers nobody then.
//
// It imports little, as package execute needs it, see package early.
package stall
