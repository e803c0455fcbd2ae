package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// withStdin runs a command line whose standard input holds text.
func withStdin(t *testing.T, text string, args ...string) result {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString(text); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var code int
	stdout, stderr := captured(t, func(std stdio) {
		std.in = r
		code = run(context.Background(), args, std)
	})
	return result{code, stdout, stderr}
}

func TestTopologyFromStandardInput(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("here", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs("here")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "valid", withStdin(t, "name: t\nnodes: {a: {binds: ['./here:/x']}}\n", "validate", "-"),
		result{0, "<stdin>: lab t is valid: 1 node, 0 bridges, 0 links\n", "<stdin>:2:21: asks for the path " + here + ", to read\n"})
	equal(t, "invalid", withStdin(t, "name: t\nnodes: {a: {binds: ['./there:/x']}}\n", "validate", "-"),
		result{exitFile, "", "<stdin>:2:21: bind source \"./there\" does not exist\n"})
	equal(t, "empty", withStdin(t, "", "validate", "-"),
		result{exitFile, "", "<stdin>:1:1: the file is empty; the smallest has a name and nodes\n"})
}

// TestEndlessStandardInput holds a reader of standard input to its context.
func TestEndlessStandardInput(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() // ends the reader
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = fileOptions{}.load(ctx, stdinArg, stdio{in: r})
	if err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("%v", err)
	}
}
