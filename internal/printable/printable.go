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

// Colored is Text that leaves tabs, and the sequences that set colours (SGR), which it takes back at the end: a line of a
// program's output beside those of others, which it can neither move to nor overwrite.
func Colored(s string) string {
	var b strings.Builder
	colored := false
	for len(s) > 0 {
		if n := sgr(s); n > 0 {
			colored = true
			b.WriteString(s[:n])
			s = s[n:]
			continue
		}
		_, n := utf8.DecodeRuneInString(s)
		if s[0] == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteString(Text(s[:n]))
		}
		s = s[n:]
	}
	if colored {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// sgr is how long the sequence is that s begins with and that sets colours: ESC [, digits and their separators, m. Else it is 0.
func sgr(s string) int {
	rest, found := strings.CutPrefix(s, "\x1b[")
	if !found {
		return 0
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != ';' && r != ':' })
	if end < 0 || rest[end] != 'm' {
		return 0
	}
	return len(s) - len(rest) + end + 1
}
