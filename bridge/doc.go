// Package bridge makes a lab's switches: bridges in the fabric, which is the lab's own network
// namespace, the leg by which a bridge reaches the host, and what the host must do for a lab
// that reaches further, which is address translation, forwarding and passing its firewall.
//
// All functions work in the network namespace of the calling thread: lock the goroutine to its
// thread before switching namespaces.
//
// What is made in the host's namespace outlives processes unless the kernel is told otherwise.
// The package therefore splits such work in two: a Plan function returns plain data, to be
// recorded, before Insert or Apply changes anything; Remove and Restore take the recorded data
// back, and may be called twice.
//
// # A table that dies with its lab
//
// The translation rules are in one nftables table per lab that is owned by a socket
// (NFT_TABLE_F_OWNER, Linux 5.12): when the last descriptor of the socket is closed, by SIGKILL
// too, the kernel removes the table. [NewTable] returns that descriptor, and a process of the lab
// holds it, without ever using it. Nobody else can change an owned table, "nft flush ruleset"
// included; nor can a process in the lab's user namespace, even through that socket.
//
// # An accept does not undo a drop
//
// Every base chain at a hook has its say, and one drop is final: on a host whose own firewall
// drops what it forwards, as Docker's does, an accept in the lab's table helps nothing. There the
// accept has to go into the firewall's chain, with the iptables program that speaks its dialect.
// These rules are not owned by a process and have to be removed.
//
// # Forwarding has side effects
//
// Writing net.ipv4.ip_forward or net.ipv6.conf.all.forwarding overwrites every interface's own
// switch, and for IPv4 conf.all.accept_redirects too. With IPv6 forwarding on, an interface whose
// accept_ra is 1 drops the default route it learned from a router and ignores the next: it has to
// be 2 beforehand.
//
// # Names are hashes
//
// An interface name holds 15 bytes, less than a lab's name and a bridge's together. [LegName] is
// the same on every machine, and says nothing about its owner.
package bridge
