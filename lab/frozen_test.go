package lab

import "testing"

func TestKillPending(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status string
		want   bool
	}{
		"its own":  {"Name:\ta\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n", true},
		"shared":   {"SigPnd:\t0000000000000000\nShdPnd:\t0000000000004100\n", true},
		"another":  {"SigPnd:\t0000000000004000\nShdPnd:\t0000000000010000\n", false},
		"blocked":  {"SigPnd:\t0000000000000000\nSigBlk:\t0000000000000100\n", false},
		"nonsense": {"SigPnd:\tx100\nShdPnd\n", false},
		"empty":    {"", false},
	} {
		if got := killPending([]byte(tc.status)); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
