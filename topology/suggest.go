package topology

import "fmt"

// maxCandidates bounds a search for a similar name: past it, a guess costs more than it helps.
const maxCandidates = 4096

// didYouMean gives ` (did you mean "x"?)` for the candidate most like word, or nothing.
func didYouMean(word string, candidates []string) string {
	if s := similar(word, candidates); s != "" {
		return fmt.Sprintf(" (did you mean %q?)", s)
	}
	return ""
}

// similar finds the candidate that is fewest typing errors away from word: at most one for
// three letters or fewer, two for up to six, three above. The first of equals wins.
func similar(word string, candidates []string) string {
	if len(word) > 64 || len(candidates) > maxCandidates {
		return ""
	}
	most := 1
	if len(word) > 6 {
		most = 3
	} else if len(word) > 3 {
		most = 2
	}
	best, at := "", most+1
	for _, c := range candidates {
		if diff := len(c) - len(word); diff > most || -diff > most || c == word {
			continue
		}
		if dist := distance(word, c); dist < at && dist < len(word) {
			best, at = c, dist
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of neighbours that
// turn a into b, letters in either case being equal (optimal string alignment).
func distance(a, b string) int {
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if lower(a[i-1]) == lower(b[j-1]) {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && lower(a[i-1]) == lower(b[j-2]) && lower(a[i-2]) == lower(b[j-1]) {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
