// Package container makes nodes: processes in seven namespaces of their own on a union
// root filesystem, with the privileges a network lab needs and no more.
//
// A node is planned as a boot program (a list of steps, package wire) by pure functions
// here, and carried out by the node init (package nodeinit) inside the new namespaces.
//
// # The root filesystem
//
//	/ of the node = overlay                   upper: the node's own tmpfs
//	                  |-- common              the lab's: /etc/hosts, and for image host what
//	                  |                       stands in for the host's closed files
//	                  `-- weak (image host)   an overlay without privilege over files
//	                        `-- the image     idmapped: the host's root is the node's root
//
// The idmapped layer lets root inside own, change and copy up what root owns outside. It
// would also let it read what only the host's root may read. The weak overlay in between
// prevents that: the kernel looks at an overlay's layers with the credentials of whoever
// mounted it, and that was nobody.
//
// # Traps
//
// The lab's mount namespace holds nothing of the host but what a node is made of, so a
// symbolic link in an image, followed before the node's root is entered, leads nowhere.
//
// Mounting fresh proc and sysfs in a user namespace needs a fully visible one of each in
// the mount namespace that was cloned: the lab's has them at /proc and /sys.
package container
