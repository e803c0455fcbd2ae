package main

import (
	"strings"
	"testing"
)

func TestSelector(t *testing.T) {
	for text, want := range map[string][]string{ // which of x/a1, x/a2, x/b and y/a1 are meant
		"x":         {"x/a1", "x/a2", "x/b"},
		"x/":        {"x/a1", "x/a2", "x/b"},
		"x/*":       {"x/a1", "x/a2", "x/b"},
		"x/a1":      {"x/a1"},
		"x/a*":      {"x/a1", "x/a2"},
		"x/?":       {"x/b"},
		"x/a[2-9]":  {"x/a2"},
		"y/b":       nil,
		"z":         nil,
		"x/a1/more": nil,
	} {
		s, err := parseSelector(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for _, n := range [][2]string{{"x", "a1"}, {"x", "a2"}, {"x", "b"}, {"y", "a1"}} {
			if s.matches(n[0], n[1]) {
				got = append(got, n[0]+"/"+n[1])
			}
		}
		equal(t, text, strings.Join(got, " "), strings.Join(want, " "))
	}
	for _, text := range []string{"", "/a", "*", "x*/a", "x/[", "x/a["} {
		if s, err := parseSelector(text); err == nil {
			t.Errorf("%q is taken for %+v", text, s)
		}
	}
}
