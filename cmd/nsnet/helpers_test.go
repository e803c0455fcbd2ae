package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// result is what one command line left behind.
type result struct {
	code        int
	stdout, err string
}

// nsnet runs a command line in this process, with files for its streams.
func nsnet(t *testing.T, args ...string) result {
	t.Helper()
	var code int
	stdout, stderr := captured(t, func(std stdio) { code = run(context.Background(), append([]string{}, args...), std) })
	return result{code, stdout, stderr}
}

// captured calls f with files for its streams and returns what was written to them.
func captured(t *testing.T, f func(stdio)) (stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, errs := newFile(t, dir, "out"), newFile(t, dir, "err")
	defer out.Close()
	defer errs.Close()
	f(stdio{in: in, out: out, err: errs})
	return content(t, out), content(t, errs)
}

func newFile(t *testing.T, dir, name string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func content(t *testing.T, f *os.File) string {
	t.Helper()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// writeFile makes a file in a directory of the test's own and returns its path.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
