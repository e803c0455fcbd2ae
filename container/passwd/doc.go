// Package passwd turns a node's user setting, "user[:group]" by name or number, into
// ids, by the passwd(5) and group(5) files of the node.
//
// # Traps
//
// The package is linked into a node's init, which must start fast: it imports nothing
// but errors.
//
// A container runtime that took an unparsable user for 0 gave a container root
// (CVE-2026-30892). Nothing here falls back to 0: what cannot be looked up is an
// error. A spec of digits is always a number, even when the passwd file has a user of
// that name: the file is the image's, and an image must not choose who 1000 is.
package passwd
