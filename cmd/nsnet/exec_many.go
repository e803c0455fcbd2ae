package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/nsnet/nsnet/internal/printable"
	"github.com/nsnet/nsnet/lab"
)

// manyAtOnce bounds how many commands of one exec run at a time.
const manyAtOnce = 64

// isMany reports whether an exec is for several nodes: by --all, or by a pattern.
func (o execOptions) isMany(ref string) bool {
	_, pattern, _ := strings.Cut(ref, "/")
	return o.All || strings.ContainsAny(pattern, "*?[")
}

// execMany runs a command in each of the nodes that ref means, side by side, with the node's name before
// each line of output. Its exit code is that of the first node, in the order of the file, where the
// command did not end with 0.
func execMany(ctx context.Context, o execOptions, ref string, argv []string, std stdio) error {
	names, labName, err := nodesMeant(ctx, ref)
	if err != nil {
		return err
	}
	width := 0
	for _, n := range names {
		width = max(width, len(n))
	}
	var mu sync.Mutex // of both streams: a line is written whole
	results := make([]error, len(names))
	slots := make(chan struct{}, manyAtOnce)
	var all sync.WaitGroup
	for i, name := range names {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			e := lab.ExecOptions{Lab: labName, Node: name, Argv: argv, Env: execEnv(o, os.LookupEnv), Workdir: o.Workdir, User: o.User}
			prefix := fmt.Sprintf("%-*s | ", width, plain(name))
			results[i] = execMarked(ctx, e, prefix, &mu, std)
		})
	}
	all.Wait()
	return manyResult(names, results)
}

// nodesMeant returns the nodes that are meant, without dead ones, and their lab.
func nodesMeant(ctx context.Context, ref string) (names []string, labName string, err error) {
	s, err := parseSelector(ref)
	if err != nil {
		return nil, "", err
	}
	status, err := lab.Inspect(ctx, s.lab)
	if err != nil {
		return nil, "", err
	}
	for _, n := range status.Nodes {
		if n.State != lab.StateDead && n.State != lab.StateNotMade && s.matches(s.lab, n.Name) {
			names = append(names, n.Name)
		}
	}
	if len(names) == 0 {
		return nil, "", &lab.Error{Lab: s.lab, Node: s.pattern, Err: lab.ErrNotFound, Remedy: "nsnet ps " + s.lab + " lists the nodes there are"}
	}
	return names, s.lab, nil
}

// execMarked runs a command with a prefix before each line of its output.
func execMarked(ctx context.Context, e lab.ExecOptions, prefix string, mu *sync.Mutex, std stdio) error {
	var copies sync.WaitGroup
	mark := func(to *os.File) (*os.File, error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		copies.Go(func() {
			defer r.Close()
			markLines(to, r, prefix, isTerminal(to), mu)
		})
		return w, nil
	}
	var err error
	if e.Stdout, err = mark(std.out); err != nil {
		return err
	}
	if e.Stderr, err = mark(std.err); err != nil {
		e.Stdout.Close()
		return err
	}
	code, err := lab.Exec(ctx, e)
	e.Stdout.Close()
	e.Stderr.Close()
	copies.Wait()
	return execResult(code, err)
}

// markLines copies lines, each in one write. One that is longer than the buffer is broken. On a terminal no node's writes over those of others.
func markLines(to io.Writer, from io.Reader, prefix string, terminal bool, mu *sync.Mutex) {
	lines := bufio.NewReaderSize(from, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			text := strings.TrimSuffix(string(line), "\n")
			if terminal {
				text = printable.Colored(strings.TrimSuffix(text, "\r"))
			}
			text = prefix + text + "\n"
			mu.Lock()
			_, writeErr := io.WriteString(to, text)
			mu.Unlock()
			if writeErr != nil {
				return // the command's next write ends it
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// manyResult puts the ends of all commands together.
func manyResult(names []string, results []error) error {
	var failed []string
	code, most := 0, 10
	for i, err := range results {
		if err == nil {
			continue
		}
		var exit *exitError
		why := errorText(err)
		if asError(err, &exit) {
			if code == 0 {
				code = exit.code
			}
			if exit.err == nil {
				why = fmt.Sprintf("exit code %d", exit.code)
			}
		}
		if len(failed) < most {
			failed = append(failed, plain(names[i])+": "+why)
		} else if len(failed) == most {
			failed = append(failed, "and more")
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &exitError{code, errors.New(strings.Join(failed, "\n"))}
}
