package topology

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits of a file. They leave room for a lab of tens of thousands of nodes, and keep the
// memory of the YAML library below 200 MB and its time below a second.
const (
	maxFile       = 4 << 20 // bytes
	maxDepth      = 64      // lists and mappings inside each other
	maxItems      = 600_000 // YAML nodes, estimated
	maxFlow       = 150_000 // [, { and flow
	maxLineTokens = 32_000
)

// parseYAML gives the root of the only document in data, nil for a file without content.
func parseYAML(file string, data []byte) (*yaml.Node, *Error) {
	if err := guard(file, data); err != nil {
		return nil, err
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithPlugin(yamlLimits{}))
	if err != nil {
		return nil, &Error{File: file, Msg: "start YAML parser: " + err.Error()}
	}
	var doc, second yaml.Node
	if err := loader.Load(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntaxError(file, data, err)
	}
	if err := loader.Load(&second); err == nil {
		return nil, &Error{File: file, Line: second.Line, Column: second.Column,
			Msg: "a second YAML document begins here; a topology file holds one"}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(file, data, err)
	}
	if len(doc.Content) != 1 {
		return nil, nil
	}
	if root := doc.Content[0]; root.Kind != yaml.MappingNode {
		if say := foreignText(data); say != "" {
			return nil, &Error{File: file, Line: root.Line, Column: root.Column, Msg: say}
		}
	}
	return doc.Content[0], nil
}

// guard refuses text that would cost the YAML library more than its share. It counts what
// can begin a YAML node (a value after ':' counts for its key, too) and, per line, every
// byte that can begin a token. What is inside [] and {} has a limit of its own: the library
// queues all tokens of an outermost [] or {}, and those cost five times what the nodes do.
// Text inside quotes and comments is counted as well: telling it apart needs the very parser
// that is guarded.
func guard(file string, data []byte) *Error {
	if len(data) > maxFile {
		return &Error{File: file, Msg: fmt.Sprintf("the file is larger than %d MiB", maxFile>>20)}
	}
	items, flow, tokens, line, start := 0, 0, 0, 1, 0
	prev := byte('\n')
	for i, c := range data {
		next := byte('\n')
		if i+1 < len(data) {
			next = data[i+1]
		}
		switch c {
		case '\n', '\r':
			if c == '\n' {
				line++
			}
			start, tokens = i+1, 0
		case 0:
			return &Error{File: file, Line: line, Column: i - start + 1, Msg: "the file is not UTF-8 text"}
		case '[', '{', ',':
			flow++
			items++
			tokens++
		case ']', '}', '"', '\'':
			tokens++
		case ':', '?':
			if flowOrBlank(next) || closes(prev) {
				items += 2
				tokens++
				if !blank(next) {
					flow++
				}
			}
		case '-':
			if flowOrBlank(next) {
				items++
				tokens++
			}
		case '#':
			// A comment becomes three texts on its way to the node it is attached to.
			if blank(prev) {
				items += 3
			}
		case '&', '*', '!':
			if flowOrBlank(prev) {
				tokens++
			}
		}
		over := ""
		switch {
		case items > maxItems:
			over = fmt.Sprintf("the file has more than %d items", maxItems)
		case flow > maxFlow:
			over = fmt.Sprintf("the file has more than %d items inside [] and {}; write long lists with a line for each", maxFlow)
		case tokens > maxLineTokens:
			over = fmt.Sprintf("the line has more than %d items", maxLineTokens)
		}
		if over != "" {
			return &Error{File: file, Line: line, Column: i - start + 1, Msg: over}
		}
		prev = c
	}
	if !utf8.Valid(data) {
		return notUTF8(file, data)
	}
	return oddLineBreak(file, data)
}

// oddLineBreak refuses line breaks that YAML 1.1 knows and no editor counts: what comes after one would
// have another place for the one than for the other.
func oddLineBreak(file string, data []byte) *Error {
	for _, r := range []rune{'\u0085', '\u2028', '\u2029'} {
		if at := bytes.Index(data, []byte(string(r))); at >= 0 {
			line, column := placeOf(data, at)
			return &Error{File: file, Line: line, Column: column, Msg: fmt.Sprintf("the file has the line break %U; in double quotes it is written as \\u%04x", r, r)}
		}
	}
	return nil
}

// notUTF8 finds the first byte that is not UTF-8.
func notUTF8(file string, data []byte) *Error {
	at := 0
	for at < len(data) {
		r, n := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += n
	}
	line, column := placeOf(data, at)
	return &Error{File: file, Line: line, Column: column, Msg: "the file is not UTF-8 text"}
}

// placeOf returns the line and column of a byte, both from 1.
func placeOf(data []byte, at int) (line, column int) {
	start := bytes.LastIndexByte(data[:at], '\n') + 1
	return bytes.Count(data[:at], []byte{'\n'}) + 1, utf8.RuneCount(data[start:at]) + 1
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func closes(c byte) bool { return c == '"' || c == '\'' || c == ']' || c == '}' }

func flowOrBlank(c byte) bool {
	return blank(c) || c == ',' || c == '[' || c == '{' || closes(c)
}

// yamlLimits bounds the nesting. Aliases are not expanded by the YAML library here: the
// decoder follows them, out of its budget.
type yamlLimits struct{}

func (yamlLimits) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return fmt.Errorf("lists and mappings are nested more than %d deep", maxDepth)
	}
	return nil
}

func (yamlLimits) CheckAlias(int, int) error { return nil }
