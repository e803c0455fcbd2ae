// Package printable makes text of others fit for a line of a terminal: what a registry answers, what a node's program says, how its
// files are called.
//
// # Traps
//
// A text that enters a message is made so where it enters: nsnet's own messages have lines, so a line feed of others that is
// still in one would begin a line that seems to be nsnet's.
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s with everything that a terminal might obey or hide (control characters, line feeds,
// bidirectional marks, invalid UTF-8) written as an escape.
func Text(s string) string {
	if Is(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		_, n := utf8.DecodeRuneInString(s)
		if Is(s[:n]) {
			b.WriteString(s[:n])
		} else {
			q := strconv.Quote(s[:n])
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
}

// Is reports whether Text leaves s as it is.
func Is(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Command returns argv as one would type it, each argument quoted where it needs to be.
func Command(argv []string) string {
	quoted := make([]string, len(argv))
	for i, a := range argv {
		switch {
		case !Is(a):
			quoted[i] = strconv.Quote(a)
		case a == "" || strings.ContainsAny(a, " \"'`$&|;<>()*?[]#~\\"):
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		default:
			quoted[i] = a
		}
	}
	return strings.Join(quoted, " ")
}

// Error returns an error that says the Text of err and wraps it; nil for none.
func Error(err error) error {
	if err == nil || Is(err.Error()) {
		return err
	}
	return printed{err}
}

type printed struct{ err error }

func (p printed) Error() string { return Text(p.err.Error()) }
func (p printed) Unwrap() error { return p.err }
