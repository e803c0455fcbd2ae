package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/nsnet/nsnet/internal/printable"
	"github.com/nsnet/nsnet/topology"
)

// plain returns s with everything that a terminal might obey or hide written as an escape.
func plain(s string) string { return printable.Text(s) }

// errorText is what an error says, each of its lines plain.
func errorText(err error) string {
	lines := strings.Split(strings.TrimRight(err.Error(), "\n"), "\n")
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	return strings.Join(lines, "\n")
}

// shorten cuts s to at most n characters, the last one an ellipsis.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// orDash makes an empty column visible, so that columns can be counted.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// count is "1 node", "3 nodes".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// sizeText is a size of a lab: "3 nodes, 1 bridge, 2 links".
func sizeText(nodes, bridges, links int) string {
	return count(nodes, "node") + ", " + count(bridges, "bridge") + ", " + count(links, "link")
}

func labSize(l *topology.Lab) string { return sizeText(len(l.Nodes), len(l.Bridges), len(l.Links)) }

// elapsedText is a duration with a unit and no more digits than anyone reads.
func elapsedText(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "less than 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

// bytesText is a number of bytes in the largest binary unit that is not below 1.
func bytesText(n int64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	f, unit := float64(n), "bytes"
	for _, u := range units {
		if f < 1024 {
			break
		}
		f, unit = f/1024, u
	}
	if f == math.Trunc(f) {
		return fmt.Sprintf("%.0f %s", f, unit)
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

// say writes to standard error. When that fails there is nobody left to tell.
func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}

// sayError writes each line of an error to standard error.
func sayError(w io.Writer, prefix string, err error) {
	for line := range strings.SplitSeq(errorText(err), "\n") {
		say(w, "%s%s\n", prefix, line)
	}
}

// printText writes a result and reports a failure to: a full disk must not look like success.
func printText(w io.Writer, s string) error {
	if _, err := io.WriteString(w, s); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// printJSON writes v as indented JSON. What a terminal might obey or hide is escaped as in
// plain, in JSON's own way, so that a reader decodes it to what it was.
func printJSON(w io.Writer, v any) error {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	return printText(w, plainJSON(b.String()))
}

// printJSONLine prints v as JSON on one line, for who reads a stream of them.
func printJSONLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	return printText(w, plainJSON(string(b)+"\n"))
}

// plainJSON escapes what encoding/json leaves as it is: control characters above ASCII, DEL,
// and marks that turn text around.
func plainJSON(s string) string {
	if !strings.ContainsFunc(s, hiddenInJSON) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !hiddenInJSON(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

func hiddenInJSON(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
