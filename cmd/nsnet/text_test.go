package main

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What an error says has its own lines, and nothing that a terminal might obey.
func TestErrorText(t *testing.T) {
	err := errors.Join(errors.New("first \x1b[2J"), errors.New("second\r\u202e"))
	equal(t, "error", errorText(err), "first \\x1b[2J\nsecond\\r\\u202e")
}

func TestSmallTexts(t *testing.T) {
	equal(t, "shorten", shorten("naïve", 4), "naï…")
	equal(t, "shorten nothing", shorten("naïve", 5), "naïve")
	equal(t, "size", sizeText(3, 1, 0), "3 nodes, 1 bridge, 0 links")
	equal(t, "elapsed", elapsedText(45*time.Millisecond+600*time.Microsecond), "45 ms")
	equal(t, "elapsed seconds", elapsedText(1440*time.Millisecond), "1.4 s")
	equal(t, "elapsed nothing", elapsedText(0), "less than 1 ms")
	equal(t, "bytes", bytesText(10<<20), "10 MiB")
	equal(t, "bytes fraction", bytesText(3<<29), "1.5 GiB")
	equal(t, "few bytes", bytesText(1023), "1023 bytes")
}

func TestTable(t *testing.T) {
	rows := [][]string{{"A", "LONG", "C"}, {"näme", "x", "last"}, {"b", "y"}}
	equal(t, "table", table(rows, nil), "A     LONG  C\nnäme  x     last\nb     y\n")
	painted := table(rows, func(column int, s string) string {
		if column == 1 {
			return "<" + s + ">"
		}
		return s
	})
	equal(t, "painted", painted, "A     <LONG>  C\nnäme  <x>     last\nb     <y>\n")
	equal(t, "indent", indent("a\nb\n"), "  a\n  b\n")
	equal(t, "indent nothing", indent(""), "")
}

func TestNearest(t *testing.T) {
	commands := []string{"completion", "down", "exec", "inspect", "logs", "plan", "ps", "up", "validate"}
	for in, want := range map[string]string{
		"valdate": "validate", "inpsect": "inspect", "donw": "down", "log": "logs", "xyzzy": "", "": "",
	} {
		equal(t, in, nearest(in, commands), want)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.StringN(0, 8, 8).Draw(t, "a"), rapid.StringN(0, 8, 8).Draw(t, "b")
		d := editDistance(a, b)
		if d != editDistance(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) {
			t.Fatalf("distance of %q and %q: %d", a, b, d)
		}
	})
}

func TestPrintJSONIsPlain(t *testing.T) {
	const evil = "\x1b[2J \u009b31m \u202e \x7f \U000e0001 \u00e9 \n\t"
	stdout, _ := captured(t, func(std stdio) {
		if err := printJSON(std.out, []string{evil}); err != nil {
			t.Error(err)
		}
	})
	equal(t, "text", stdout, "[\n  \"\\u001b[2J \\u009b31m \\u202e \\u007f \\udb40\\udc01 \u00e9 \\n\\t\"\n]\n")
	var back []string
	if err := json.Unmarshal([]byte(stdout), &back); err != nil || back[0] != evil {
		t.Errorf("decoded to %q: %v", back, err)
	}
}
