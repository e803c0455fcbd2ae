package rtnl

import "testing"

// Answers of the kernel hold what others have put there, and those of a newer one what is not known here.
func FuzzMessages(f *testing.F) {
	f.Add(make([]byte, 16))
	f.Add([]byte{2, 24, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0, 8, 0, 15, 0, 254, 0, 0, 0, 8, 0, 5, 0, 192, 0, 2, 1, 8, 0, 4, 0, 2, 0, 0, 0})
	f.Add([]byte{0, 0, 1, 0, 2, 0, 0, 0, 67, 16, 1, 0, 0, 0, 0, 0, 9, 0, 3, 0, 101, 116, 104, 48, 0, 0, 0, 0, 4, 0, 18, 0, 1, 0, 1, 0})
	f.Add([]byte{10, 64, 128, 0, 2, 0, 0, 0, 20, 0, 1, 0, 254, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 255, 255, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := parseLink(b); err == nil && len(l.Name) > len(b) {
			t.Errorf("a name of %d bytes in %d", len(l.Name), len(b))
		}
		_, _ = parseAddress(b)
		_, _ = ParseRoute(b)
		_ = attribute(b, 1)
	})
}
