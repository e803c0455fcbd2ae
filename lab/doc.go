// Package lab is a lab's life: up, down, what it is doing, and commands in its nodes. It
// alone knows all the other packages.
//
// A lab hangs on one process, the lab init (package labinit), which up starts and which
// builds the lab inside its own namespaces. Up does only what needs the host's root:
// idmapped mounts, cgroups, the host's ends of legs, packet filter rules. It writes down
// what can outlive the lab init before it makes it, commits with one message, and leaves.
//
// # What can outlive a lab
//
// Directories of cgroups, files below /run/nsnet, /run/netns and /etc/netns, forwarding
// sysctls, and, where iptables rules drop forwarded packets, accept rules. Every nsnet
// command sweeps what dead labs left of these. All else goes with the lab init: links,
// namespaces, mounts, processes, the tables on the host.
//
// # Traps
//
// A pid names a process only as long as something else says that it lives: here a file
// lock that the lab init holds by having it open. See alive.
package lab
