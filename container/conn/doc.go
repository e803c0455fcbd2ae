// Package conn carries the messages of package wire over unix stream sockets, with descriptors.
//
// It needs a socket's raw descriptor alone, and not package net: that is among the last that a program initialises, and exec does not
// wait for it.
package conn
