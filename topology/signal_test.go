package topology

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseSignal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"SIGTERM": 15, "TERM": 15, "sigterm": 15, "Quit": 3, "9": 9, "64": 64, "32": 32, "SIGRTMIN": 34, "RTMIN+3": 37, "SIGRTMAX-1": 63, "rtmax": 64, "SIGRTMIN+30": 64,
		"": 0, "0": 0, "65": 0, "-1": 0, "SIG": 0, "SIGSIGTERM": 0, "TERMINATE": 0, "RTMIN-1": 0, "RTMAX+1": 0, "RTMIN+31": 0, "RTMIN+": 0, "RTMIN+x": 0, "RTMIN+-1": 0, " TERM": 0,
	} {
		got, err := ParseSignal(text)
		if got != want || (err != nil) != (want == 0) {
			t.Errorf("%q is %d, and not %d: %v", text, got, want, err)
		}
		if want != 0 {
			if again, err := ParseSignal(SignalName(want)); again != want || err != nil {
				t.Errorf("%q is %s, which is %d: %v", text, SignalName(want), again, err)
			}
		}
	}
	for n := 1; n < 32; n++ {
		if name := SignalName(n); int(unix.SignalNum(name)) != n {
			t.Errorf("signal %d is not %s", n, name)
		}
	}
}
