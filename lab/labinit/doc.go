// Package labinit is PID 1 of a lab's pid namespace: the one process a lab hangs on. It
// owns the lab's user namespace, mount namespace and fabric, builds nodes and wires, and
// answers the lab's control socket.
//
// # Traps
//
// It holds no descriptor and no mount of the host that a node could reach through it: its
// root is a small read-only tmpfs with proc, sysfs and device nodes.
//
// It gets everything of the host that it needs from up, as descriptors, because inside its
// user namespace it has no right to make it: idmapped mounts, cgroup membership, the far
// ends of legs.
package labinit
