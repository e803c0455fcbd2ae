// Package waiting tells who runs a command for whom it waits, where that takes longer than anybody would think.
//
// Whom to tell comes with the context: what waits is deep in other packages, each of which would else hand a function through. Nothing is told
// by who has no such context.
package waiting
