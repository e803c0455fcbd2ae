package main

import (
	"strings"
	"unicode/utf8"
)

// table renders rows in columns as wide as their widest cell, two spaces apart. paint, if
// given, adds colour to a cell once its width is known. text/tabwriter would count the
// bytes of the colours.
func table(rows [][]string, paint func(column int, text string) string) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			text := cell
			if paint != nil {
				text = paint(i, cell)
			}
			b.WriteString(text)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// indent puts two spaces before each line of s.
func indent(s string) string {
	if s == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n  ") + "\n"
}
