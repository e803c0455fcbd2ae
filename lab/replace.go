package lab

import (
	"fmt"
	"path/filepath"

	"github.com/nsnet/nsnet/topology"
)

// mistaken refuses a file that would make something else of a lab than it is: one that another file has made, and with
// which it has no node in common but by name. Such a file is more likely a stranger to the lab than its next version.
func mistaken(want *topology.Lab, file string, seen *observed) error {
	was := seen.rec.File
	if file == "" || was == "" || sameFile(file, was) || len(want.Nodes) == 0 {
		return nil
	}
	for _, had := range seen.had {
		nodes := byName(had.Nodes)
		for i := range want.Nodes {
			if n := nodes[want.Nodes[i].Name]; n != nil && sameNode(n, &want.Nodes[i]) {
				return nil
			}
		}
		if len(had.Nodes) == 0 {
			return nil
		}
	}
	return &Error{
		Err:    fmt.Errorf("%w: a lab of this name runs, which %s has made, and no node of it is as this file says", ErrConflict, was),
		Remedy: "if it is to become what this file says, say so with nsnet up --replace; else give this one another name, with --name, or take the other down",
	}
}

// sameNode tells whether a node that is so already would have to be changed.
func sameNode(a, b *topology.Node) bool {
	was, wasCommand := digests(a)
	is, isCommand := digests(b)
	return was == is && wasCommand == isCommand
}

// sameFile tells whether two absolute paths lead to one file, or led there.
func sameFile(a, b string) bool {
	whole := func(path string) string {
		if p, err := filepath.EvalSymlinks(path); err == nil {
			return p
		}
		return filepath.Clean(path)
	}
	return a == b || whole(a) == whole(b)
}
