// Package ipam decides addresses: it hands out the addresses of a subnet in order and
// derives the hardware address of every interface of a lab from its name.
//
// Nothing here touches the kernel or keeps state between calls: the same calls in the
// same order give the same addresses on every machine.
//
// # What is never handed out
//
// Of an IPv4 subnet the first address (the network) and the last (broadcast), of an IPv6
// subnet the first (the subnet-router anycast address, RFC 4291 section 2.6.1). A /31
// (RFC 3021), a /127 (RFC 6164), a /32 and a /128 have no such addresses: all of theirs
// are usable.
//
// # Set aside first, then allocate
//
// [Pool.Next] walks forward and never looks back. Gateways and fixed addresses must all be
// set aside with [Pool.Reserve] before the first Next, otherwise an address that was
// handed out already cannot be reserved any more.
package ipam
