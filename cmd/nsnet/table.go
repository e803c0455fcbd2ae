package main

import (
	"strings"
	"unicode/utf8"
)

// gap is the space between two columns.
const gap = 2

// table renders rows in columns as wide as their widest cell. A cell of several lines makes its row
// as many lines high. paint, if given, adds colour to a line of a cell once its width is known.
// text/tabwriter would count the bytes of the colours.
func table(rows [][]string, paint func(column int, text string) string) string {
	wide := widths(rows)
	var b strings.Builder
	for _, row := range rows {
		cells := make([][]string, len(row))
		height := 0
		for i, cell := range row {
			cells[i] = strings.Split(cell, "\n")
			height = max(height, len(cells[i]))
		}
		for line := range height {
			// A line ends with its last cell, without blanks to fill it up.
			last := len(cells) - 1
			for line > 0 && last > 0 && line >= len(cells[last]) {
				last--
			}
			for i := range last + 1 {
				text := ""
				if line < len(cells[i]) {
					text = cells[i][line]
				}
				width := utf8.RuneCountInString(text)
				if paint != nil {
					text = paint(i, text)
				}
				b.WriteString(text)
				if i < last {
					b.WriteString(strings.Repeat(" ", wide[i]-width+gap))
				}
			}
			b.WriteByte('\n')
		}
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
