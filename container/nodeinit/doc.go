// Package nodeinit is PID 1 of a node. It carries out the boot program that the lab init
// sends, gives up every privilege a node has no need of, then starts commands, reaps
// orphans and passes signals on.
//
//	spawner --clone--> idle   boots the node, and waits; one thread
//	                     |
//	                     | execve, with the first command
//	                     v
//	                   run    starts commands, reaps, forwards signals
//
// Spawner and run start from this package's init function, before almost all other packages
// of the binary are initialised: that costs a millisecond and half a megabyte less. Go
// initialises packages in the order of their import paths as soon as their own imports
// are ready, so that works as long as this package imports nothing but syscall and what
// syscall needs. A test holds it to that.
//
// # Traps
//
// An idle node init is the fork of a Go process that was not started anew. It has a heap and a
// stack that may grow, and nothing else of the runtime: no second thread, so no go statement, channel, lock
// that may be held, timer or garbage collection. What it calls must be straight code: this goes for all
// steps of a program. The spawner prepares for that, see hold and the raw system calls.
//
// A command is forked by a thread of run, or by a process between that has run's memory, see launch. What runs there before
// the command's execve is nosplit and allocates nothing: the runtime knows of none of it.
//
// The runtime of run has several threads by the time init runs, so nothing there may unshare a
// namespace, and what is per thread is the main thread's, which forks every command. It must never
// need a further one: a node's limit of processes may be used up, and then the runtime ends the
// node's init. So run has a fixed number of goroutines and threads, see makeThreads.
//
// Forwarded signals are blocked before execve; the runtime keeps them blocked in every
// thread it makes, and a signalfd reads them. Without that, the runtime's own handler would
// end PID 1 on SIGTERM.
package nodeinit
