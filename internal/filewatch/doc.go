// Package filewatch tells when a file may have other content. inotify(7).
//
// Editors write a file in place, or write another one and rename it over the first, or remove it and make it anew: the
// directory is what is watched, for files of that name that were closed after writing or came to be by a rename. A symbolic
// link on the way, in place of a directory too, is watched where it is, and followed when it is made to lead elsewhere.
//
// # Traps
//
// A user has 128 inotify instances by default, over all containers of a host: without one left, and when the directory itself
// goes away or is renamed, the file is looked at twice a second instead.
//
// An editor makes several events of one save, of which the first can show an empty file. A change is told when no event has
// come for [Quiet].
package filewatch
