package nodeinit

import "syscall"

// guard keeps the node's root, which has the init's ids, from changing the init's limits: with three open files or no memory it could not go on.
// prlimit(2) asks that all ids of the target, real, effective and saved, are the caller's real one, so that one that differs is enough: nobody's real
// id can be both. The saved group id is the one that nothing depends on: execve(2) replaces it with the effective one, so that commands have it not,
// and the init never goes back to it. Every thread has ids of its own, and may be asked for by its number: this comes before
// further ones are made, and before the signal that the runtime does it with is given up. A node's root that has CAP_SYS_RESOURCE needs
// no equal ids.
func guard() error {
	err := syscall.Setresgid(-1, -1, ownerless)
	if err == syscall.EPERM { // a node without CAP_SETGID, in which no command can be started, either
		return nil
	}
	return err
}
