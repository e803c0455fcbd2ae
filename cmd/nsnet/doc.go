// Command nsnet turns a topology file into a running network lab.
//
// This package is flags in, tables or JSON out: what a lab is and how it comes and goes
// is the business of package lab, what a file means that of package topology. One file
// holds one command: its options with AddFlags, and a run function that takes the parsed
// options and the three standard streams, so that tests call it directly. What is printed
// is made by pure functions of the lab package's types.
//
// # Exit codes
//
// The exit codes are an interface. They are one table in exitcode.go, from which every
// command's help takes its EXIT STATUS; docs/commands.md repeats it, and a test compares.
//
// # Streams
//
// Standard output carries results and nothing else. Progress, notes and errors go to
// standard error, as text also when --json is given.
//
// # Start-up time
//
// nsnet exec starts once per command that runs in a node, so each import that does work
// in its initialisation is paid for on every one of them. Look at
// GODEBUG=inittrace=1 nsnet version before adding one.
//
// # Untrusted text
//
// Names, paths, commands and the errors that quote them come from files and from nodes.
// They go through plain or commandText (see text.go) on their way to a terminal, which
// would otherwise obey the control characters in them.
package main
