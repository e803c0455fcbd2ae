package overlayfs

import "strings"

// EscapeOption escapes a path for lowerdir=, upperdir= and workdir= in the option string
// of mount(2): a backslash before each backslash, comma and colon. The kernel takes one
// level of backslashes away from each path, after having split options at bare commas
// and lower layers at bare colons.
//
// It is not for fsconfig(2)'s lowerdir+ and datadir+, which take a path as it is.
func EscapeOption(path string) string {
	if !strings.ContainsAny(path, `\,:`) {
		return path
	}
	var b strings.Builder
	b.Grow(len(path) + 8)
	for i := range len(path) {
		switch path[i] {
		case '\\', ',', ':':
			b.WriteByte('\\')
		}
		b.WriteByte(path[i])
	}
	return b.String()
}
