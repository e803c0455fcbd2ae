// Package doctor looks at a machine for what a lab, or a container that gets an interface, would
// stumble over, and says what to do about it. It changes nothing that outlives it.
//
// A finding is a Problem where labs do not work, a Note where they do but something that a
// user may want does not, or is going to run out, and Good otherwise.
//
// # Traps
//
// Whether the kernel has a feature is tried and not asked: a version number says nothing of what a
// distribution has left out, and /proc/config.gz is mostly not there. Kinds of links are tried in a network
// namespace of the doctor's own, on a thread that is given up with it.
//
// The one proof that labs work is a lab: one with a single idle node is brought up and taken down.
//
// Files of /proc and /sys are read below a root that tests set.
package doctor
