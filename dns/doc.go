// Package dns renders the names a lab's nodes see: /etc/hosts with every node's
// addresses, and resolv.conf, in the node and for ip-netns(8).
//
// Rendering is pure. The only files written are those below /etc/netns, which
// "ip netns exec LAB.NODE" shows as /etc/resolv.conf.
//
// # Traps
//
// Both formats are lines of words and know no quoting. A value with a blank or a
// control character would become two words or two lines, so it is left out: the
// topology is validated long before, and a file that says less is safer than one
// that says something else.
//
// glibc uses the first three nameservers of a resolv.conf; all are written, as
// other resolvers use more.
//
// glibc answers a name with the first line of its address family: the order of a
// node's lines in the hosts file decides which address "ping NODE" uses.
//
// ip-netns(8) mounts each file of /etc/netns/NAME over the one of the same name in
// /etc: an empty resolv.conf there would hide the host's.
package dns
