// Package faults holds tests of what goes wrong: nsnet killed or interrupted at any moment, a
// machine that refuses, files that are wrong, many at once, and nodes that attack.
//
// Each test runs the real binary in a small machine of its own, see package testenv, and
// fails for whatever is left there. What the tests call the host is that machine.
//
// # Random moments
//
// Kills come at moments drawn from a seed that the test logs. NSNET_SEED repeats one.
//
// # The probe
//
// testdata/probe is a program that tries, inside a node, what must not work. It is built by
// the tests and bound into the nodes. Its exit code is 0 when an attempt succeeded, that is
// when a defence failed, so that a probe which could not even try is not taken for a defence:
// a refusal is code 10, with the reason on standard output.
package faults
