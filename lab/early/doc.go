// Package early runs the commands of nsnet exec before most of nsnet is initialised.
//
// To initialise all packages that nsnet is made of takes as long as the rest of an exec. Go initialises them in the order of
// their import paths as soon as what they import is ready (decision 4): a package that imports little can begin early, and
// need not wait for the others. The function init of this package runs a command that asks for nothing special in a node that a
// lab's index names, and ends the process with the command's exit code. Everything else, above all whatever is wrong, it leaves to
// the command proper, package main's: what has no node yet, with nothing done, and what has run, as [Result].
//
// # Traps
//
// An import that is initialised late makes this late: GODEBUG=inittrace=1 shows when. Of the standard library net, encoding/json's
// users such as the YAML and command line packages, and text/template are late.
package early
