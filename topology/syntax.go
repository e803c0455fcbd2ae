package topology

import (
	"bytes"
	"errors"
	"strings"

	"go.yaml.in/yaml/v4"
)

// syntaxError gives an error of the YAML library the form of all others, and says what is wrong
// with the line where that can be known: a file of another tool, a tab, or an indentation that
// fits no line above.
func syntaxError(file string, data []byte, err error) *Error {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		return &Error{File: file, Msg: printable("not valid YAML: " + err.Error())}
	}
	if say := foreignText(data); say != "" {
		return &Error{File: file, Line: 1, Column: 1, Msg: say}
	}
	e := &Error{File: file, Line: le.Mark.Line, Column: le.Mark.Column}
	if e.Line == 0 {
		e.Line, e.Column = le.ContextMark.Line, le.ContextMark.Column
	}
	e.Msg = "not valid YAML: "
	switch hint := lineHint(data, e.Line, e.Column); {
	case strings.Contains(le.Message, "nested more than"):
		e.Msg += le.Message
	case hint != "":
		e.Msg += hint
	case le.ContextMsg != "":
		e.Msg += le.ContextMsg + ": " + le.Message
	default:
		e.Msg += le.Message
	}
	e.Msg = printable(e.Msg)
	return e
}

// lineHint returns what is wrong with the indentation of a line, or "" where the error is at
// another place of it. Line and column count from 1.
func lineHint(data []byte, line, column int) string {
	at := lineOf(data, line)
	blank := at[:len(at)-len(bytes.TrimLeft(at, " \t"))]
	switch {
	case bytes.IndexByte(blank, '\t') >= 0 && column <= len(blank)+1:
		return "the line is indented by a tab, for which YAML has no width; use spaces"
	case column != len(blank)+1 || len(blank) == len(at):
		return ""
	}
	return fitsNone(data, line, len(blank))
}

// fitsNone returns what to do about a line that begins neither where a block above it begins nor
// deeper than the line above, or "" where it does.
func fitsNone(data []byte, line, indent int) string {
	above := -1 // the indentation of the nearest block that this line may belong to
	for n := line - 1; n > 0 && line-n < 1000; n-- {
		at := lineOf(data, n)
		text := bytes.TrimLeft(at, " ")
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		if i := len(at) - len(text); i <= indent {
			above = i
			break
		}
	}
	if above == indent || above < 0 {
		return ""
	}
	return "the line begins where no line of a block above it does: lines that belong together begin in the same column"
}

// lineOf returns a line of data without its end; lines count from 1.
func lineOf(data []byte, line int) []byte {
	for ; line > 1; line-- {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			return nil
		}
		data = data[i+1:]
	}
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		data = data[:i]
	}
	return bytes.TrimRight(data, "\r")
}
