package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// table is what a part of the benchmark has found.
type table struct {
	title string
	head  []string
	rows  [][]string
}

// markdown renders the table with aligned columns, so that it can be read as it is.
func (t table) markdown() string {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell), 3)
		}
	}
	var b strings.Builder
	line := func(cells []string, fill string) {
		for i, cell := range cells {
			fmt.Fprintf(&b, "|%s%-*s%s", fill, widths[i], cell, fill)
		}
		b.WriteString("|\n")
	}
	b.WriteString(t.title + "\n\n")
	line(t.head, " ")
	rule := make([]string, len(t.head))
	for i, w := range widths {
		rule[i] = strings.Repeat("-", w)
	}
	line(rule, "-")
	for _, row := range t.rows {
		line(row, " ")
	}
	return b.String()
}

// median of an odd number of values is the middle one, of an even number the lower of the
// two in the middle: a value that was measured. Of none it is zero.
func median[T cmp.Ordered](values []T) T {
	if len(values) == 0 {
		var zero T
		return zero
	}
	return slices.Sorted(slices.Values(values))[(len(values)-1)/2]
}

// millis prints milliseconds with three digits that count.
func millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// ratio prints how many times as long as base d is; without a base nothing.
func ratio(d, base time.Duration) string {
	if base == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", float64(d)/float64(base))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
