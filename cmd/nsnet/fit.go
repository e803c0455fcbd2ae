package main

import (
	"os"
	"strings"
	"unicode/utf8"
)

// minColumn is how narrow a column of text may become so that a table fits its terminal.
const minColumn = 12

// leastColumn is how narrow any column may become where that does not suffice.
const leastColumn = 3

// columns says which columns of a table give way where the terminal is too narrow: lists, whose
// items are then put one below the other, and after them texts, which are cut.
type columns struct{ lists, texts []int }

// tableWidth returns the width that a table for f has to fit into, or 0 where there is none: what is
// no terminal is read by programs.
func tableWidth(f *os.File) int {
	if !isTerminal(f) {
		return 0
	}
	return terminalWidth(f)
}

// fit returns rows that are at most width wide as far as the columns that give way allow it. A
// width of 0 is any.
func fit(rows [][]string, width int, give columns) [][]string {
	over := overflow(rows, width)
	if over <= 0 {
		return rows
	}
	rows = cloned(rows)
	for _, column := range give.lists {
		for _, row := range rows {
			if column < len(row) {
				row[column] = strings.ReplaceAll(row[column], ",", "\n")
			}
		}
		if over = overflow(rows, width); over <= 0 {
			return rows
		}
	}
	for _, column := range give.texts {
		if over = cut(rows, column, over, minColumn); over <= 0 {
			return rows
		}
	}
	// A terminal for which that is not enough gets what there is room for, the first columns first.
	for column := len(widths(rows)) - 1; column >= 0; column-- {
		if over = cut(rows, column, over, leastColumn); over <= 0 {
			return rows
		}
	}
	return rows
}

// cut takes from a column as much as the table is too wide, but leaves it least, and returns what is
// still too much.
func cut(rows [][]string, column, over, least int) int {
	widest := widths(rows)[column]
	room := max(widest-over, least)
	if room >= widest {
		return over
	}
	for _, row := range rows {
		if column >= len(row) {
			continue
		}
		lines := strings.Split(row[column], "\n")
		for i := range lines {
			lines[i] = shorten(lines[i], room)
		}
		row[column] = strings.Join(lines, "\n")
	}
	return over - (widest - room)
}

// overflow returns by how much a table of these rows is wider than width.
func overflow(rows [][]string, width int) int {
	if width <= 0 {
		return 0
	}
	total := 0
	for i, w := range widths(rows) {
		if i > 0 {
			total += gap
		}
		total += w
	}
	return total - width
}

// widths returns the width of each column: that of the widest line of a cell.
func widths(rows [][]string) []int {
	var all []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(all) {
				all = append(all, 0)
			}
			for line := range strings.SplitSeq(cell, "\n") {
				all[i] = max(all[i], utf8.RuneCountInString(line))
			}
		}
	}
	return all
}

func cloned(rows [][]string) [][]string {
	out := make([][]string, len(rows))
	for i, row := range rows {
		out[i] = append([]string(nil), row...)
	}
	return out
}
