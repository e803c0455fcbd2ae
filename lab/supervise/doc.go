// Package supervise decides when a node's command is started, stopped, and started again, when its check is due and
// what that means, and in which order nodes that depend on each other go. It is plain data and functions: what
// happens is told by calls with the time of it, what is to be done is returned. The lab init does it.
//
//	            launch                    ended, policy says no
//	Waiting -----------> Starting/Running ----------------------> Exited
//	   ^                    ^   |   ended, policy says again         |
//	   | depends_on         |   v                                    | start, stop
//	   |      retry is due  |  Stopping <----------------------------'
//	   '--------------------+-- BackingOff      nobody is left: Stopped, Starting, Waiting or BackingOff
//
// # Traps
//
// A command that has ended may have left processes. Before it is started again, and when the node is stopped, these
// end first: Stopping goes on until nobody is left, not until the command has ended.
package supervise
