// Command goals measures what nsnet promises of its reliability, or with -security of what attackers may not do, and prints one table: goal,
// target, measured, verdict.
//
//	go run ./internal/goals [-security] [-only 1,6,11]
//
// Each goal is measured by tests, which run here in full (NSNET_FAULTS=full) and tell what they have found in lines that begin with
// "goal N:". A goal that cannot be measured on this machine says so.
package main
