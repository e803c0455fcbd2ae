package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestIsMany(t *testing.T) {
	for ref, want := range map[string]bool{"web": false, "demo/web": false, "demo/*": true, "demo/r[12]": true, "demo/r?": true, "*": false} {
		equal(t, ref, execOptions{}.isMany(ref), want)
	}
	equal(t, "--all", execOptions{All: true}.isMany("demo"), true)
}

func TestMarkLines(t *testing.T) {
	long := strings.Repeat("x", 70<<10)
	for text, want := range map[string]string{
		"":             "",
		"one\ntwo\n":   "a | one\na | two\n",
		"no end":       "a | no end\n",
		"\n\n":         "a | \na | \n",
		long + "\nend": "a | " + long[:64<<10] + "\na | " + long[64<<10:] + "\na | end\n",
	} {
		var out strings.Builder
		markLines(&out, strings.NewReader(text), "a | ", false, &sync.Mutex{})
		equal(t, text[:min(len(text), 20)], out.String(), want)
	}
	const hostile = "\x1b[31mred\x1b[A\rb | of another\r\n"
	for terminal, want := range map[bool]string{
		false: "a | " + hostile,
		true:  "a | \x1b[31mred\\x1b[A\\rb | of another\x1b[0m\n",
	} {
		var out strings.Builder
		markLines(&out, strings.NewReader(hostile), "a | ", terminal, &sync.Mutex{})
		equal(t, fmt.Sprintf("terminal: %v", terminal), out.String(), want)
	}
}

func TestManyResult(t *testing.T) {
	names := []string{"a", "b", "c"}
	code := func(n int) error { return &exitError{code: n} }
	equal(t, "all well", manyResult(names, []error{nil, nil, nil}), nil)
	for want, results := range map[string][]error{
		"3 b: exit code 3":                       {nil, code(3), nil},
		"3 a: exit code 3\nc: exit code 1":       {code(3), nil, code(1)},
		"127 a: not found\nb: exit code 2":       {&exitError{127, errors.New("not found")}, code(2), nil},
		"125 b: the lab is gone\nc: exit code 1": {nil, &exitError{125, errors.New("the lab is gone")}, code(1)},
	} {
		err := manyResult(names, results)
		var exit *exitError
		if !errors.As(err, &exit) {
			t.Fatalf("%v", err)
		}
		wantCode, text, _ := strings.Cut(want, " ")
		equal(t, want, exit.code, atoi(t, wantCode))
		equal(t, want, err.Error(), text)
	}
	many := make([]error, 30)
	for i := range many {
		many[i] = code(1)
	}
	if lines := strings.Count(manyResult(make([]string, 30), many).Error(), "\n"); lines != 10 {
		t.Errorf("%d lines", lines+1)
	}
}
