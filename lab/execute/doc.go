// Package execute is the client's side of a command that is run in a node: it asks the lab's init, relays what goes in
// and out, and passes signals on.
//
// It is apart from package lab for what it imports: exec runs it before most of nsnet is initialised, see package early.
package execute
