// Package rtnl talks rtnetlink in bulk: one socket bound to one network namespace, many
// requests in one datagram, acknowledgements read together.
//
// Messages are built with github.com/vishvananda/netlink/nl; what is added here is that a
// thousand links do not cost a thousand round trips.
//
// # Traps
//
// The kernel goes on after a request that fails, so a caller that gets an error from a
// batch undoes all of it or starts anew.
//
// A dump that raced with a change is marked interrupted; Dump takes it again.
package rtnl
