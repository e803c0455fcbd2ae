// Package nodeinit is PID 1 of a node. It carries out the boot program that the lab init
// sends, gives up every privilege a node has no need of, then starts commands, reaps
// orphans and passes signals on.
//
// It runs from this package's init function, before almost all other packages of the
// binary are initialised: a node then costs a millisecond and half a megabyte less. Go
// initialises packages in the order of their import paths as soon as their own imports
// are ready, so that works as long as this package imports nothing but syscall and what
// syscall needs. A test holds it to that.
//
// # Traps
//
// The runtime has several threads by the time init runs, so nothing here may unshare a
// user namespace, and what is per thread (seccomp aside, which is synchronised) is given
// to the main thread, which forks every command.
//
// Signals are blocked by the parent before exec; the runtime keeps them blocked in every
// thread it makes, and a signalfd reads them. Without that, the runtime's own handler would
// end PID 1 on SIGTERM.
package nodeinit
