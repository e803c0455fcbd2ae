package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []int
		want   int
	}{{nil, 0}, {[]int{7}, 7}, {[]int{9, 1}, 1}, {[]int{9, 1, 5}, 5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("%v: got %d, want %d", c.values, got, c.want)
		}
	}
}

func TestFormat(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234567 * time.Nanosecond: "1.23 ms", 45 * time.Millisecond: "45.0 ms", 6 * time.Second: "6000 ms",
	} {
		if got := millis(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
	if ratio(3, 2) != "1.50" || ratio(1, 0) != "" {
		t.Errorf("got %s and %q", ratio(3, 2), ratio(1, 0))
	}
	got := table{title: "T", head: []string{"a", "b"}, rows: [][]string{{"long", "x"}}}.markdown()
	if want := "T\n\n| a    | b   |\n|------|-----|\n| long | x   |\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestParseRollup(t *testing.T) {
	got, err := parseRollup("1-2 ---p 0 [rollup]\nPss: 900 kB\nPrivate_Clean: 40 kB\nPrivate_Dirty: 2 kB\n")
	if err != nil || got != 42 {
		t.Errorf("got %d, error %v", got, err)
	}
	for _, bad := range []string{"", "Private_Clean: 40 kB\n", "Private_Clean: x kB\nPrivate_Dirty: 2 kB\n"} {
		if _, err := parseRollup(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	if kib, err := privateMemory(os.Getpid()); err != nil || kib == 0 {
		t.Errorf("own memory: %d, error %v", kib, err)
	}
}

func TestParseOptions(t *testing.T) {
	o, err := parseOptions([]string{"-only", "up", "-sizes", "10,20", "-runs", "1", "-peers=false"})
	if err != nil || !slices.Equal(o.sizes, []int{10, 20}) || o.peers || !slices.Equal(o.only, []string{"up"}) {
		t.Errorf("got %+v, error %v", o, err)
	}
	if o, err := parseOptions([]string{"-only", "mem,attach"}); err != nil || !slices.Equal(o.only, []string{"mem", "attach"}) {
		t.Errorf("got %+v, error %v", o, err)
	}
	if o, err := parseOptions([]string{"-old", "/x/nsnet"}); err != nil || o.old != "/x/nsnet" || !slices.Contains(o.only, "old") || !slices.Contains(o.only, "up") {
		t.Errorf("got %+v, error %v", o, err)
	}
	if o, err := parseOptions([]string{"-old", "nsnet", "-only", "up,exec"}); err != nil || !filepath.IsAbs(o.old) || slices.Contains(o.only, "old") {
		t.Errorf("got %+v, error %v", o, err)
	}
	for _, bad := range [][]string{{"-only", "down"}, {"-sizes", "1"}, {"-sizes", "1024"}, {"-sizes", "x"}, {"-runs", "0"}} {
		if _, err := parseOptions(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestStar(t *testing.T) {
	text := star(1023, "host")
	for _, want := range []string{"n1:eth0\", \"lan0\"], address: 10.0.0.1/16", "n1023:eth0\", \"lan0\"], address: 10.0.3.255/16"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("no %q in the topology", want)
		}
	}
}

// The script is what people write: as many commands as the table says.
func TestAttachScript(t *testing.T) {
	if lines := strings.Count(attachScript, "\n"); lines != 1+7 {
		t.Errorf("%d lines, with set -e", lines)
	}
}

// Each is run as often as the others, and first as often; a failure says what was printed.
func TestInTurn(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	all := []contender{{"a", []string{"sh", "-c", "printf a >>" + log}}, {"b", []string{"sh", "-c", "printf b >>" + log}}}
	took, err := inTurn(t.Context(), 4, all)
	if err != nil || len(took) != 2 || took[0] <= 0 || took[1] <= 0 {
		t.Errorf("got %v, error %v", took, err)
	}
	if got, err := os.ReadFile(log); err != nil || string(got) != "abbaabba" {
		t.Errorf("ran %q, error %v", got, err)
	}
	if _, err := inTurn(t.Context(), 1, []contender{{"bad", []string{"sh", "-c", "echo told; exit 3"}}}); err == nil || !strings.Contains(err.Error(), "told") {
		t.Errorf("a command that fails: %v", err)
	}
}
