// Package cgroups holds a node to its limits and accounts for it, on the kernel's control
// groups: version 1, version 2, and the hybrid of both.
//
// A node's group is the directory nsnet/LAB/NODE below the root of each hierarchy that its
// limits need, and of no other: a node without limits has no group at all, since groups cost
// time at up and at down; with three for each of 1,000 nodes, a fifth more at up and a third more
// at down. A group that is needed later is made then, and the node's processes are moved into it:
// see [Host.Freeze].
//
// Where systemd manages the version 2 tree, a lab's groups are in a scope that it delegates, see [Host.Adopt].
//
// Writing the limits is left to github.com/opencontainers/cgroups, which knows the order the kernel
// wants them in; finding hierarchies, making, killing and removing groups is done here.
//
// Control groups are one of the few things that outlive a lab's processes. [Host.Labs] and
// [Host.RemoveLab] work from the directories alone, so that a lab whose record is lost can
// still be cleared.
//
// # Join before unsharing the cgroup namespace
//
// A cgroup namespace is rooted in the group its creator is in at that moment. Call [Group.Add]
// first, or the node sees /../LAB/NODE paths and its neighbours' names. A node that gets a group
// later sees such a path; there is nothing behind it in a node's mounts.
//
// # Swap
//
// A memory limit alone lets a node go on in swap. The limit is set on memory and swap together
// where the kernel counts swap, and on memory alone where it does not.
//
// # A fresh version 2 group has no controllers
//
// They are enabled from the root downwards by writing cgroup.subtree_control of every parent.
// A cgroup that itself holds processes refuses (EBUSY) unless it is the real root: inside a
// container the processes have to be moved into a child first. See
// Documentation/admin-guide/cgroup-v2.rst, "No Internal Process Constraint".
//
// # Moving processes that fork
//
// A process is moved by its number, and its children are where their parent was when it forked.
// The processes of a node are found by their descent from its init, and looked for until none is
// outside the group.
//
// # Removal is not immediate
//
// rmdir fails with EBUSY while a dying process is still in a group, some milliseconds after
// SIGKILL. A frozen version 1 group does not even begin to die before it is thawed.
package cgroups
