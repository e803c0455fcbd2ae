// Package attach holds tests of nsnet attach and detach with real parts: Docker, podman, processes that
// somebody else has started, bridges and cards of the test's own.
//
// Each test runs the real binary in a small machine of its own, see package testenv, and fails for whatever is
// left there. What the tests call the host is that machine. An engine is started once for all subtests of a test.
//
// # Random moments
//
// Kills come at moments drawn from a seed that the test logs. NSNET_SEED repeats one.
package attach
