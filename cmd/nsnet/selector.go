package main

import (
	"fmt"
	"path"
	"strings"
)

// selector names a lab, a node of it, or nodes by a pattern: LAB, LAB/NODE, LAB/PATTERN.
type selector struct {
	lab     string
	pattern string // of nodes; empty: all
}

// parseSelector reads a selector. A pattern is one of path.Match: * and ? and [a-z].
func parseSelector(s string) (selector, error) {
	lab, pattern, _ := strings.Cut(s, "/")
	if _, err := path.Match(pattern, ""); err != nil || lab == "" || strings.ContainsAny(lab, "*?[") {
		return selector{}, fmt.Errorf("%q is not LAB, LAB/NODE or LAB/PATTERN", s)
	}
	return selector{lab: lab, pattern: pattern}, nil
}

// matches reports whether a node of the lab is meant.
func (s selector) matches(lab, node string) bool {
	if lab != s.lab {
		return false
	}
	ok, err := path.Match(s.pattern, node)
	return s.pattern == "" || ok && err == nil
}
