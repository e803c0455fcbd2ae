// Package proto is what nsnet's commands and a lab init say to each other, over the same
// framing as package wire.
//
//	up                                   lab init
//	 |-- Spec  lab, setups; exe, devs ------>|  its namespaces, the fabric, bridges
//	 |<--------------- Fabric  fabric netns -|
//	 |<-- Node  i; userns, pidfd ------------|  for each node, as soon as it is cloned
//	 |-- Mounts  i; layers, binds, logs ---->|  idmapped for the node, which is in its cgroup
//	 |<------------------------- Progress ---|
//	 |<--------------------------- Booted ---|  all nodes are prepared, all cables plugged
//	 |-- Wired ----------------------------->|  the host's ends are there, too
//	 |<---------------------------- Built ---|  addresses, routes, everything forwards; State
//	 |-- Commit  ports, tables' sockets ---->|  from here on the lab lives without up
//	 |<-------------------------- Started ---|
//
// A running lab's control socket takes one question per connection: Status, Exec, Pause, Announce,
// Uppers, Control, Await, Try or Change. That one is like a build, by the one who asks:
//
//	up                                   lab init
//	 |-- Change  nodes ----------------->|
//	 |<------------------------ Removed -|  those that go have ended
//	 |<-- Node  i; userns, pidfd --------|
//	 |-- Mounts  i; layers, binds, logs ->|
//	 |<------------------ Booted  State -|  all new nodes are prepared
//	 |   (changes the wires itself)
//	 |-- Commit  ports, start, table --->|
//	 |<------------------------- Started -|
//
// What was done before the end of file of a change stays done: the next one goes on from there.
//
// Before a change that ends nodes for others, these are tried: made beside the old ones, and ended at once.
//
//	up, plan                             lab init
//	 |-- Try  nodes -------------------->|
//	 |<-- Node  i; userns, pidfd --------|
//	 |-- Mounts  i; layers, binds ------>|
//	 |<-------------------------- Tried -|  all have ended; why those failed that did
//
// End of file before Commit ends the lab init, and with it all it has made. Failed takes
// the place of any answer of the lab init.
package proto
