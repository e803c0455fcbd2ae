package wiring

import "testing"

// A cable without addresses has nothing to say of them.
func TestBothEnds(t *testing.T) {
	t.Parallel()
	for want, ends := range map[string][2]string{
		"":                           {"", ""},
		"10.0.0.1/24 -- 10.0.0.2/24": {"10.0.0.1/24", "10.0.0.2/24"},
		"10.0.0.1/24 -- none":        {"10.0.0.1/24", ""},
		"none -- 10.0.0.2/24":        {"", "10.0.0.2/24"},
	} {
		if got := BothEnds(ends[0], ends[1]); got != want {
			t.Errorf("%q: %q", ends, got)
		}
	}
}
