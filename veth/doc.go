// Package veth makes the cables: pairs of virtual Ethernet interfaces between nodes,
// bridges of the fabric and the host. veth(4).
//
// # Traps
//
// One message makes both ends in their final namespaces with final name, index, MAC and
// MTU. The first end may be brought up and made a bridge port in it; the peer's IFF_UP
// there fails with ENOTCONN, so the peer comes up later.
//
// A MAC that is given at creation has addr_assign_type 3, which udev leaves alone.
package veth
