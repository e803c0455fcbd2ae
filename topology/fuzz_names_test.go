package topology

import (
	"path/filepath"
	"strings"
	"testing"
)

// A name that is taken is a directory's, an interface's and a label of DNS, and nothing else.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"web", "a.b-c_d", "..", "-rf", "%d", "a\nb", "localhost", "all", "lo", "eth0.10", "gw.lab.test", "a..b", strings.Repeat("x", 64), "\x00", "/", "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for kind, taken := range map[string]bool{
			"lab": validateName(s) == nil, "node": validateNode(s) == nil, "interface": validateInterface(s) == nil, "hostname": validateHostname(s) == nil,
		} {
			if !taken {
				continue
			}
			if !filepath.IsLocal(s) || strings.ContainsAny(s, "/%:\x00\n\t ") || s[0] == '-' || s[0] == '.' || len(s) > 64 {
				t.Errorf("%q is taken for the name of a %s", s, kind)
			}
			switch kind {
			case "interface":
				if len(s) > 15 || s == "all" || s == "default" {
					t.Errorf("%q is taken for the name of an interface", s)
				}
			case "node":
				if strings.ContainsAny(s, "._") || s[len(s)-1] == '-' || len(s) > 63 {
					t.Errorf("%q is taken for a label of DNS", s)
				}
			}
		}
	})
}
