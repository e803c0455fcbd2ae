// Package printable makes text of others fit for a line of a terminal: what a registry answers, what a node's program says, how its
// files are called.
//
// # Traps
//
// A text that enters a message is made so where it enters: nsnet's own messages have lines, so a line feed of others that is
// still in one would begin a line that seems to be nsnet's.
package printable
