// Package announce tells neighbours on a link where addresses are, who may have known others by them: gratuitous ARP (RFC 5227 section 3)
// and unsolicited neighbour advertisements (RFC 4861 section 7.2.6). A neighbour that knows the address corrects what it knows; one that does not makes
// no entry.
//
// # Traps
//
// The kernel announces by itself only where arp_notify and ndisc_notify say so, and when it is given a MAC anew. That throws away
// all that the interface knows of its neighbours, also entries that somebody has made by hand.
//
// A packet socket takes the kernel up to 10 ms to close (synchronize_net in packet_release, net/packet/af_packet.c): see [Closer].
package announce
