package printable

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":             "",
		"web":          "web",
		"naïve 名":      "naïve 名",
		"a\nb":         `a\nb`,
		"\x1b[31mred":  `\x1b[31mred`,
		"\xff\xfe":     `\xff\xfe`,
		"a\u202eb":     `a\u202eb`,
		"tab\tand\x00": `tab\tand\x00`,
	} {
		if got := Text(in); got != want {
			t.Errorf("%q: %q, not %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := Text(string(rapid.SliceOf(rapid.Byte()).Draw(t, "s")))
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("not printable: %q", s)
		}
	})
}

func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		argv []string
		want string
	}{
		{nil, ""},
		{[]string{"nginx", "-g", "daemon off;"}, `nginx -g 'daemon off;'`},
		{[]string{"sh", "-c", "echo 'x'"}, `sh -c 'echo '\''x'\'''`},
		{[]string{"echo", "", "a\nb\x1b"}, `echo '' "a\nb\x1b"`},
		{[]string{"ip", "addr=1", "/a-b.c:d"}, `ip addr=1 /a-b.c:d`},
	} {
		if got := Command(tt.argv); got != tt.want {
			t.Errorf("%q: %s, not %s", tt.argv, got, tt.want)
		}
	}
}

// An error is printable, and still what it was.
func TestError(t *testing.T) {
	err := Error(&fs.PathError{Op: "open", Path: "x\nnsnet: y", Err: fs.ErrNotExist})
	if err.Error() != `open x\nnsnet: y: file does not exist` || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if Error(nil) != nil {
		t.Error("nothing has become something")
	}
}

func TestColored(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"a\tb":                           "a\tb",
		"\x1b[31mred\x1b[0m":             "\x1b[31mred\x1b[0m\x1b[0m",
		"\x1b[1;38:5:196mbold":           "\x1b[1;38:5:196mbold\x1b[0m",
		"\x1b[2J\x1b[A\rweb | forged":    `\x1b[2J\x1b[A\rweb | forged`,
		"\x1b[31":                        `\x1b[31`,
		"\x1b]0;title\a":                 `\x1b]0;title\a`,
		"\x1b[?25lm\x1b[>4;1m\u202e\xff": `\x1b[?25lm\x1b[>4;1m\u202e\xff`,
	} {
		if got := Colored(in); got != want {
			t.Errorf("%q: %q, not %q", in, got, want)
		}
	}
}
