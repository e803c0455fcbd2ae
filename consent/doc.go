// Package consent decides whether a topology file may have what it asks for beyond its own nodes and its own directory
// ([topology.Lab.Asks]), and keeps what it was allowed. docs/consent.md is for users.
//
// A thing is allowed by the caller's flags ([Given]), because it was allowed before to the file with this path ([Store]), or because root alone
// can write the file and the machine's setting trusts its directory ([Trusts]).
//
// # Traps
//
// A file is known by the path that the kernel had for it when it was read ([topology.Lab.File]). To resolve the name that
// the user gave a second time would let whoever owns a link in it have one file read and another one trusted. The lab's
// name is the file's to choose, and proves nothing. Relative paths, and what is beneath the file's directory, are of the directory that
// this path is in ([topology.Lab.Dir]), so that what was allowed to a file is allowed with what lies beside that file, and with nothing that lies
// beside a link to it.
//
// What is kept are things and not kinds: the path /srv, to read. Paths are those that the file's lead to, for a link beneath the file's directory is the
// file's author's to change.
package consent
