package dns

// isWord tells whether s can stand as one word of a hosts file or a resolv.conf:
// printable ASCII without blanks, and not the start of a comment.
func isWord(s string) bool {
	if s == "" || s[0] == '#' || s[0] == ';' {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// words returns those of list that are words. It returns list itself when all are.
func words(list []string) []string {
	for i, s := range list {
		if isWord(s) {
			continue
		}
		kept := append([]string(nil), list[:i]...)
		for _, s := range list[i+1:] {
			if isWord(s) {
				kept = append(kept, s)
			}
		}
		return kept
	}
	return list
}
