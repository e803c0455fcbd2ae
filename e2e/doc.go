// Package e2e holds tests of the whole program: the real nsnet binary, labs from files, real packets.
//
// Each test runs in a small machine of its own, see package testenv, and fails for whatever
// its labs leave there. What the tests call the host is that machine.
//
// # Every example is tested
//
// TestExamples brings up each file of examples/topologies and hands the lab to the
// function that exampleChecks names; a file without one fails.
//
// # Programs of the host
//
// Nodes run nginx, sshd, dnsmasq and FRR as Debian packages them. A machine that lacks one
// skips its tests, or with NSNET_STRICT=1 fails them.
package e2e
