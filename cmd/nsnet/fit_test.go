package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/nsnet/nsnet/lab"
)

func TestFit(t *testing.T) {
	rows := [][]string{
		{"NODE", "ADDRESSES", "COMMAND"},
		{"web", "192.168.10.2/24,fd00::2/64", "nginx -g 'daemon off;' -c /etc/nginx/nginx.conf"},
		{"a", "-", "-"},
	}
	give := columns{lists: []int{1}, texts: []int{2}}
	for width, want := range map[int]string{
		0:   table(rows, nil),
		200: table(rows, nil),
		70: `NODE  ADDRESSES        COMMAND
web   192.168.10.2/24  nginx -g 'daemon off;' -c /etc/nginx/nginx.conf
      fd00::2/64
a     -                -
`,
		45: `NODE  ADDRESSES        COMMAND
web   192.168.10.2/24  nginx -g 'daemon off;…
      fd00::2/64
a     -                -
`,
		35: `NODE  ADDRESSES        COMMAND
web   192.168.10.2/24  nginx -g 'd…
      fd00::2/64
a     -                -
`,
		25: `NODE  ADDRESSES       CO…
web   192.168.10.2/…  ng…
      fd00::2/64
a     -               -
`,
	} {
		equal(t, "table", table(fit(rows, width, give), nil), want)
	}
	if rows[1][1] != "192.168.10.2/24,fd00::2/64" {
		t.Error("fit has changed the rows that it was given")
	}
}

// TestFitAnyTable holds fit to what it promises: a table that fits is left alone, none becomes wider,
// and no item of a list is lost.
func TestFitAnyTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cell := rapid.StringMatching(`[a-z0-9./]{0,12}(,[a-zé]{1,9}){0,3}`)
		rows := rapid.SliceOfN(rapid.SliceOfN(cell, 3, 3), 1, 6).Draw(t, "rows")
		width := rapid.IntRange(1, 120).Draw(t, "width")
		got := fit(rows, width, columns{lists: []int{1}, texts: []int{2}})
		before, after := table(rows, nil), table(got, nil)
		if widest(after) > widest(before) {
			t.Fatalf("wider than before:\n%s\n%s", before, after)
		}
		if widest(before) <= width && before != after {
			t.Fatalf("changed although it did fit:\n%s\n%s", before, after)
		}
		if widest(after) > width && width > 3*3+2*gap {
			t.Fatalf("%d wide, not %d:\n%s", widest(after), width, after)
		}
		for i := range rows {
			if strings.Contains(strings.Join(got[i], ""), "…") {
				continue
			}
			if strings.ReplaceAll(got[i][1], "\n", ",") != rows[i][1] || got[i][0] != rows[i][0] {
				t.Fatalf("%q became %q", rows[i], got[i])
			}
		}
	})
}

func widest(text string) int {
	most := 0
	for line := range strings.Lines(text) {
		most = max(most, utf8.RuneCountInString(strings.TrimRight(line, "\n")))
	}
	return most
}

func TestTablesOfATerminal(t *testing.T) {
	labs := []lab.Status{demoStatus()}
	for _, width := range []int{80, 100} {
		if w := widest(psTable(labs, false, width)); w > width {
			t.Errorf("ps is %d wide on a terminal of %d", w, width)
		}
		if w := widest(inspectLab(labs[0], false, width)); w > width {
			t.Errorf("inspect is %d wide on a terminal of %d", w, width)
		}
	}
	golden(t, "ps-80.txt", psTable(labs, false, 80))
}
