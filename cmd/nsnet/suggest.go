package main

// nearest returns the word that is most like s, or "" when none is near: at most a third
// of its letters, and two at the least, may be wrong.
func nearest(s string, words []string) string {
	best, bestDistance := "", max(2, len(s)/3)+1
	for _, w := range words {
		if d := editDistance(s, w); d < bestDistance && d < len(w) {
			best, bestDistance = w, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions, substitutions and swaps of neighbouring
// bytes that turn a into b (the optimal string alignment distance).
func editDistance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
