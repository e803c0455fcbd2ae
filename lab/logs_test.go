package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nsnet/nsnet/container/wire"
)

// chunk is output as a node's init writes it down.
func chunk(at time.Time, text string) []byte {
	b := append(make([]byte, wire.LogHeader), text...)
	wire.PutLogHeader(b, len(text), uint64(at.UnixMicro()))
	return b
}

// readAll returns what a reader has by now.
func readAll(t interface{ Fatal(...any) }, r *logReader) string {
	var b strings.Builder
	for {
		c, ok, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return b.String()
		}
		b.Write(c.text)
	}
}

// TestLogReaderLosesNothing has a log written, moved and read in any order: a reader that looks often
// enough gets every byte once.
func TestLogReaderLosesNothing(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprint(n))
		write := func(p string, b []byte) {
			if err := os.WriteFile(p, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var cur []byte
		write(path, nil)
		write(path+".1", nil)
		var wrote, got strings.Builder
		at := time.UnixMicro(1_000_000)
		add := func() {
			text := rapid.StringMatching(`[a-z\n]{1,20}`).Draw(t, "text")
			at = at.Add(time.Microsecond)
			cur = append(cur, chunk(at, text)...)
			wrote.WriteString(text)
			write(path, cur)
		}
		for range rapid.IntRange(0, 3).Draw(t, "before") {
			add()
		}
		r, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.close()
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0: // the log is full; the reader has looked since it was so before
				got.WriteString(readAll(t, r))
				write(path+".1", cur)
				cur = nil
				write(path, nil)
			case 1:
				got.WriteString(readAll(t, r))
			case 2: // half of a chunk is there
				whole := cur
				add()
				write(path, cur[:len(whole)+(len(cur)-len(whole))/2])
				got.WriteString(readAll(t, r))
				write(path, cur)
			default:
				add()
			}
		}
		got.WriteString(readAll(t, r))
		if got.String() != wrote.String() {
			t.Fatalf("%q was written, %q is read", wrote.String(), got.String())
		}
	})
}

func TestLogReaderOfWhatWasMovedMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for name, b := range map[string][]byte{"": chunk(time.Now(), "two "), ".1": chunk(time.Now(), "one ")} {
		if err := os.WriteFile(path+name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	// It is moved when the older log has been read, and grows to more than it was.
	moved, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"": chunk(time.Now().Add(time.Second), "three, which is longer"), ".1": moved} {
		if err := os.WriteFile(path+name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := readAll(t, r); got != "one two three, which is longer" {
		t.Errorf("%q", got)
	}
}

func TestLogOfAnEarlierVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	text := strings.Repeat("a line of text\n", 5000)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if got := readAll(t, r); got != text {
		t.Errorf("%d bytes of %d are read", len(got), len(text))
	}
}

func TestLogsPickLines(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	open := func(t *testing.T, name string, every time.Duration, texts ...string) *nodeLog {
		path := filepath.Join(t.TempDir(), name)
		var b []byte
		for i, text := range texts {
			b = append(b, chunk(start.Add(time.Duration(i)*every), text)...)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		return &nodeLog{name, &logLines{r: r}}
	}
	for name, tc := range map[string]struct {
		o    LogsOptions
		want string
	}{
		"all of a lab": {LogsOptions{Tail: -1}, "web | one\nweb | two and a half\ndb  | eins\nweb | three\ndb  | zwei\nweb | end\n"},
		"tail":         {LogsOptions{Tail: 1}, "db  | zwei\nweb | end\n"},
		"tail 2":       {LogsOptions{Tail: 2}, "db  | eins\nweb | three\ndb  | zwei\nweb | end\n"},
		"tail 0":       {LogsOptions{Tail: 0}, ""},
		"since":        {LogsOptions{Tail: -1, Since: start.Add(3 * time.Second)}, "web | three\ndb  | zwei\nweb | end\n"},
		"tail, since":  {LogsOptions{Tail: 3, Since: start.Add(4 * time.Second)}, "db  | zwei\nweb | end\n"},
		"times":        {LogsOptions{Node: "web", Tail: 2, Timestamps: true}, "2026-01-02T03:04:08.000000Z three\n2026-01-02T03:04:09.000000Z end\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			tc.o.Out = &out
			l := &logs{o: tc.o, width: 3}
			defer l.close()
			l.nodes = append(l.nodes, open(t, "web", time.Second, "one\ntwo", " and", " a half\n", "three\n", "end"))
			if tc.o.Node == "" {
				l.nodes = append(l.nodes, open(t, "db", 4500*time.Millisecond, "eins\n", "zwei\n"))
			}
			if err := l.begin(); err != nil {
				t.Fatal(err)
			}
			if err := l.finish(); err != nil {
				t.Fatal(err)
			}
			if out.String() != tc.want {
				t.Errorf("got\n%swant\n%s", out.String(), tc.want)
			}
		})
	}
}

func TestLogLinesAreBounded(t *testing.T) {
	l := &logLines{}
	l.add(logChunk{text: bytes.Repeat([]byte("x"), maxLogLine)})
	l.add(logChunk{text: []byte("\ny\n\n")})
	var got []int
	for _, line := range l.queue {
		got = append(got, len(line.text))
	}
	if fmt.Sprint(got) != fmt.Sprint([]int{maxLogLine, 0, 1, 0}) {
		t.Errorf("lines of %v bytes", got)
	}
}

// On a terminal no node's line can overwrite another's.
func TestLogsOfSeveralOnATerminal(t *testing.T) {
	t.Parallel()
	const text = "\x1b[31mred\x1b[A\rweb | forged"
	for _, tc := range []struct {
		o    LogsOptions
		want string
	}{
		{LogsOptions{Terminal: true}, "n | \x1b[31mred\\x1b[A\\rweb | forged\x1b[0m\n"},
		{LogsOptions{}, "n | " + text + "\n"},
		{LogsOptions{Terminal: true, Node: "n"}, text + "\n"},
	} {
		var out strings.Builder
		tc.o.Out = &out
		l := &logs{o: tc.o}
		if err := l.print(&nodeLog{name: "n"}, logLine{text: []byte(text)}); err != nil || out.String() != tc.want {
			t.Errorf("%q, not %q; %v", out.String(), tc.want, err)
		}
	}
}
